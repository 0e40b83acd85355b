"""`make parity`: Terraform, CDK and CloudFormation define one and the same stack.

In comes the project's folder; out go a summary, or a sentence for each thing that is wrong. For each configuration the
graphs of all three are equal, but for what `known` explains (`graph`), and what must be made after something is; inputs
and outputs are equal (`inputs`); bad input is refused by all three in the same words (`bad_input`); the READMEs are
current (`readmes`); and planted faults are found (`mutations`).
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

from . import bad_input, cloudformation, definitions, graph, inputs, known, mutations, plans, readmes
from .configurations import CONFIGURATIONS, PACKAGE_BYTES
from .graph import Graph
from .kinds import ParityError


def main() -> int:
    # CDK's runtime says at each start, in a box, what it thinks of an older Node.
    os.environ["JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION"] = "20"
    parser = argparse.ArgumentParser(prog="parity", description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="the project's folder")
    parser.add_argument("--write", action="store_true", help="only write the tables of the READMEs")
    arguments = parser.parse_args()
    if arguments.write:
        readmes.write(arguments.root)
        return 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            wrong, summary = compare(arguments.root.resolve(), Path(folder))
    except ParityError as error:
        wrong, summary = [str(error)], ["There is nothing to compare."]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(*summary, sep="\n")
    return 1 if wrong else 0


def compare(root: Path, folder: Path) -> tuple[list[str], list[str]]:
    """What is wrong, and a summary."""
    started = time.monotonic()
    package = folder / "bootstrap.zip"
    package.write_bytes(PACKAGE_BYTES)
    app = definitions.cdk_app(root / definitions.CDK)
    templates = {variant: cloudformation.load(root / file) for variant, file in definitions.TEMPLATES.items()}
    modules = {variant: root / module for variant, module in definitions.MODULES.items()}

    planted = mutations.terraform_calls(root, folder / "terraform", package)
    planned = definitions.of_terraform(definitions.terraform_calls(root, package) | planted, folder / "plans")
    terraform, faulty = ({name: planned[name] for name in names} for names in (CONFIGURATIONS, planted))

    wrong = [f"Terraform, {name}: {found}" for name, found in terraform.items() if isinstance(found, Exception)]
    others = {}
    for name, one in CONFIGURATIONS.items():
        for definition in ("CDK", "CloudFormation"):
            try:
                if definition == "CDK":
                    others[definition, name] = definitions.of_cdk(app, one, package)
                else:
                    others[definition, name] = definitions.of_cloudformation(templates[one.variant], one)
            except ParityError as error:
                wrong.append(f"{definition}, {name}: {error}")
    if wrong:
        return wrong, ["There is nothing to compare: no graph of these."]
    wrong += of_graphs(terraform, others)
    wrong += definitions.wrong_priorities(templates["function"], CONFIGURATIONS["alb"])
    wrong += definitions.wrong_priorities(templates["service"], CONFIGURATIONS["ecs minimal"])
    wrong += of_inputs(modules, app, templates)
    wrong += bad_input.mistakes(modules, app, templates, folder / "bad input")
    wrong += readmes.stale(root)
    not_found = list(mutations.not_found(mutations.Project(root, package, terraform, others), folder / "planted", faulty))
    wrong += not_found

    resources = sum(len(one.resources) for one in terraform.values())
    variables = sum(len(plans.Module.read(module).variables) for module in modules.values())
    cases = bad_input.cases()
    refused = sum(case.sentence is not None for case in cases)
    faults = Counter(mutation.file.split("/")[0] for mutation in mutations.MUTATIONS)
    by_definition = ", ".join(f"{count} in {name}" for name, count in faults.items())
    return wrong, [
        f"{len(terraform)} configurations with {resources} resources; "
        f"{len(known.KNOWN)} known differences of three definitions",
        f"{variables} inputs; {refused} bad values, refused in the same words; {len(cases) - refused} good ones, taken",
        f"{faults.total() - len(not_found)} of {faults.total()} planted faults found: {by_definition}",
        f"{len(wrong)} wrong, {time.monotonic() - started:.0f} s",
    ]


def of_graphs(terraform: dict[str, Graph], others: dict[tuple[str, str], Graph]) -> list[str]:
    """What is wrong with the graphs."""
    wrong = []
    for name, found in terraform.items():
        wrong += [f"Terraform, {name}: {sentence}" for sentence in graph.out_of_order("Terraform", found, known.ORDERS)]
    for (definition, name), other in others.items():
        wrong += known.unexplained(definition, name, terraform[name], other)
        order = graph.out_of_order(definition, other, known.ORDERS)
        wrong += [f"{definition}, {name}: {sentence}" for sentence in order]
    return wrong


def of_inputs(modules: dict[str, Path], app: ModuleType, templates: dict[str, dict[str, Any]]) -> list[str]:
    """What is wrong with inputs and outputs."""
    wrong = []
    for variant, path in modules.items():
        module = plans.Module.read(path)
        wrong += known.lifecycle_differences(variant, module)
        wrong += inputs.input_differences(module, app.VARIANTS[variant][1], templates[variant])
        wrong += inputs.output_differences(module, inputs.cdk_outputs(app, variant), "CDK")
        wrong += inputs.output_differences(module, inputs.cloudformation_outputs(templates[variant]), "CloudFormation")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
