"""Owns the test of this test: faults that are planted in copies of the definitions, each of which must be found, in
words that name what is wrong.

In come `faults.txt`, the definitions, and the graphs of Terraform that they are compared with; out goes a sentence
for each fault that was not found. There is no list of faults that need not be found. A fault that cannot be planted
any more is an error: its text is gone.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

from . import bad_input, cloudformation, definitions, graph, inputs, known, plans
from .configurations import CONFIGURATIONS
from .graph import Graph
from .kinds import UnknownKind

INPUTS, BAD_INPUT, PRIORITIES = "inputs", "bad input", "priorities"


@dataclass(frozen=True)
class Mutation:
    """A fault: the file it is in, what stands there and what instead; where it shows (a configuration, the comparison
    of inputs, or bad input), and what the sentence that finds it says."""

    file: str
    old: str
    new: str
    shows: str
    says: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file}: {self.new.strip()[:80]!r} for {self.old.strip()[:80]!r}"

    @property
    def variant(self) -> str:
        return "service" if any(part in self.file for part in ("ecs", "service")) else "function"

    def planted(self, root: Path, folder: Path) -> Path:
        """A copy of the folder of the definition, with the fault."""
        definition = self.file.split("/")[0]
        copy = folder / definition
        shutil.copytree(
            root / definition, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "tests", "examples", "cdk.out")
        )
        text = (folder / self.file).read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self}: what it replaces is there {text.count(self.old)} times")
        (folder / self.file).write_text(text.replace(self.old, self.new))
        return copy


def read(text: str) -> list[Mutation]:
    """The faults of `faults.txt`: for each its file, where it shows and what finds it, then the lines that go and
    come."""
    found = []
    for paragraph in text.strip().split("\n\n"):
        head, *lines = paragraph.split("\n")
        file, shows, says = head.split(": ", 2)
        old, new = ("\n".join(line[2:] for line in lines if line[0] == mark) for mark in "-+")
        found.append(Mutation(file, old, new, shows, tuple(says.split(" … "))))
    return found


MUTATIONS = read((Path(__file__).parent / "faults.txt").read_text())


def by_definition(mutations: list[Mutation], definition: str) -> list[Mutation]:
    return [mutation for mutation in mutations if mutation.file.startswith(definition)]


def terraform_calls(root: Path, folder: Path, package: Path) -> dict[str, plans.Call]:
    """A call for each fault of Terraform that shows in a configuration: they are planned with all the others."""
    return {
        str(mutation): plans.Call(
            mutation.planted(root, folder / str(number)) / ("ecs" if mutation.variant == "service" else ""),
            definitions.with_package(CONFIGURATIONS[mutation.shows], package),
        )
        for number, mutation in enumerate(by_definition(MUTATIONS, "infra"))
        if mutation.shows in CONFIGURATIONS
    }


def not_found(
    root: Path, folder: Path, package: Path, terraform: dict[str, Graph], faulty: dict[str, Any]
) -> Iterator[str]:
    """A sentence for each fault that was not found. `terraform` has the graphs of Terraform as it is, `faulty` those
    of its planted faults, or the errors in their place."""
    finders = {"infra": in_terraform, "cdk": in_cdk, "cloudformation": in_cloudformation}
    for number, mutation in enumerate(MUTATIONS):
        place = folder / f"planted{number}"
        definition = mutation.file.split("/")[0]
        try:
            if definition == "infra" and mutation.shows in CONFIGURATIONS:
                said = in_graph("Terraform", mutation.shows, terraform[mutation.shows], faulty[str(mutation)])
            else:
                said = list(
                    finders[definition](mutation, mutation.planted(root, place), root, place, package, terraform)
                )
        except (cloudformation.TemplateError, graph.GraphError, plans.PlanError, UnknownKind) as error:
            said = [str(error)]
        if not any(all(part in sentence for part in mutation.says) for sentence in said):
            heard = [sentence[:200] for sentence in said[:5]]
            yield f"not found: {mutation}: expected {mutation.says} of {mutation.shows}, and it says {heard}"


def in_graph(definition: str, name: str, terraform: Graph, other: Graph | Exception) -> list[str]:
    """What the comparison of one configuration says."""
    if isinstance(other, Exception):
        raise other
    return known.unexplained(definition, name, terraform, other) + list(graph.out_of_order(other, known.ORDERS))


def in_terraform(
    mutation: Mutation, copy: Path, root: Path, place: Path, _package: Path, _terraform: dict
) -> Iterator[str]:
    """What is said of a fault in the variables."""
    modules = {variant: place / module for variant, module in definitions.MODULES.items()}
    if mutation.shows == BAD_INPUT:
        table = [
            case for case in bad_input.cases() if mutation.says[-1] in case.inputs and case not in bad_input.BETWEEN
        ]
        table = [
            case
            for case in table
            if case.inputs[mutation.says[-1]] != CONFIGURATIONS["minimal"].inputs.get(mutation.says[-1])
        ]
        yield from bad_input.judged("Terraform", table, bad_input.by_terraform(modules, table, place / "plan"))
    else:
        variant = mutation.variant
        template = cloudformation.load(root / definitions.TEMPLATES[variant])
        _, kind = definitions.cdk_app(root / definitions.CDK).VARIANTS[variant]
        yield from inputs.input_differences(plans.Module.read(modules[variant]), kind, template)


def in_cloudformation(
    mutation: Mutation, copy: Path, root: Path, place: Path, _package: Path, terraform: dict[str, Graph]
) -> Iterator[str]:
    """What is said of a fault in a template."""
    variant = mutation.variant
    template = cloudformation.load(place / definitions.TEMPLATES[variant])
    if mutation.shows == INPUTS:
        module = plans.Module.read(root / definitions.MODULES[variant])
        _, kind = definitions.cdk_app(root / definitions.CDK).VARIANTS[variant]
        yield from inputs.input_differences(module, kind, template)
        yield from inputs.output_differences(module, inputs.cloudformation_outputs(template), "CloudFormation")
    elif mutation.shows == BAD_INPUT:
        table = [case for case in bad_input.without_maps() if case.variant == variant]
        said = [bad_input.by_cloudformation({variant: template}, case) for case in table]
        yield from bad_input.judged("CloudFormation", table, said)
    elif mutation.shows == PRIORITIES:
        yield from definitions.wrong_priorities(template, CONFIGURATIONS["alb"])
    else:
        other = definitions.of_cloudformation(template, CONFIGURATIONS[mutation.shows])
        yield from in_graph("CloudFormation", mutation.shows, terraform[mutation.shows], other)


def in_cdk(
    mutation: Mutation, copy: Path, root: Path, place: Path, package: Path, terraform: dict[str, Graph]
) -> Iterator[str]:
    """What is said of a fault in the constructs."""
    app = definitions.cdk_app(copy)
    if mutation.shows == INPUTS:
        module = plans.Module.read(root / definitions.MODULES[mutation.variant])
        template = cloudformation.load(root / definitions.TEMPLATES[mutation.variant])
        yield from inputs.input_differences(module, app.VARIANTS[mutation.variant][1], template)
    elif mutation.shows == BAD_INPUT:
        table = bad_input.cases()
        yield from bad_input.judged("CDK", table, [bad_input.by_cdk(app, case) for case in table])
    else:
        other = definitions.of_cdk(app, CONFIGURATIONS[mutation.shows], package)
        yield from in_graph("CDK", mutation.shows, terraform[mutation.shows], other)
