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
from .kinds import ParityError

INPUTS, BAD_INPUT, PRIORITIES, LIFECYCLES = "inputs", "bad input", "priorities", "lifecycles"


class FaultError(ParityError):
    """A fault that cannot be planted."""


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
    def definition(self) -> str:
        """The folder of the definition."""
        return self.file.split("/")[0]

    @property
    def variant(self) -> str:
        return "service" if any(part in self.file for part in ("ecs", "service")) else "function"

    def plant(self, root: Path, folder: Path) -> None:
        """Copies the definition from one root to another, with the fault."""
        not_needed = shutil.ignore_patterns(".*", "__pycache__", "tests", "examples", "cdk.out")
        shutil.copytree(root / self.definition, folder / self.definition, ignore=not_needed)
        text = (folder / self.file).read_text()
        if text.count(self.old) != 1:
            raise FaultError(f"{self}: what it replaces is there {text.count(self.old)} times")
        (folder / self.file).write_text(text.replace(self.old, self.new))


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


@dataclass(frozen=True)
class Project:
    """What faults are compared with: the project's folder, a package, and the graphs of Terraform and of the others as
    they are."""

    root: Path
    package: Path
    terraform: dict[str, Graph]
    others: dict[tuple[str, str], Graph]

    def module(self, variant: str) -> plans.Module:
        return plans.Module.read(self.root / definitions.MODULES[variant])

    def inputs_of_cdk(self, variant: str) -> type:
        return definitions.cdk_app(self.root / definitions.CDK).VARIANTS[variant][1]

    def template(self, variant: str) -> dict[str, Any]:
        return cloudformation.load(self.root / definitions.TEMPLATES[variant])


def terraform_calls(root: Path, folder: Path, package: Path) -> dict[str, plans.Call]:
    """A call for each fault of Terraform that shows in a configuration: they are planned with all the others."""
    calls = {}
    for number, mutation in enumerate(MUTATIONS):
        if mutation.definition == "infra" and mutation.shows in CONFIGURATIONS:
            mutation.plant(root, folder / str(number))
            module = folder / str(number) / definitions.MODULES[mutation.variant]
            inputs_ = definitions.with_package(CONFIGURATIONS[mutation.shows], package)
            calls[str(mutation)] = plans.Call(module, inputs_)
    return calls


def not_found(project: Project, folder: Path, faulty: dict[str, Graph | Exception]) -> Iterator[str]:
    """A sentence for each fault that was not found. `faulty` has the graphs of Terraform's faults, or the errors in
    their place."""
    finders = {"infra": in_terraform, "cdk": in_cdk, "cloudformation": in_cloudformation}
    for number, mutation in enumerate(MUTATIONS):
        place = folder / str(number)
        try:
            if str(mutation) in faulty:
                said = in_graph("Terraform", mutation.shows, project, faulty[str(mutation)])
            else:
                mutation.plant(project.root, place)
                said = list(finders[mutation.definition](mutation, place, project))
        except ParityError as error:
            said = [str(error)]
        if not any(all(part in sentence for part in mutation.says) for sentence in said):
            heard = [sentence[:200] for sentence in said[:5]]
            yield f"not found: {mutation}: expected {mutation.says} of {mutation.shows}, and it says {heard}"


def in_graph(definition: str, name: str, project: Project, faulty: Graph | Exception) -> list[str]:
    """What the comparison of one configuration says."""
    if isinstance(faulty, Exception):
        raise faulty
    if definition == "Terraform":
        pairs = [(other, faulty, found) for (other, of), found in project.others.items() if of == name]
    else:
        pairs = [(definition, project.terraform[name], faulty)]
    differences = [sentence for other, *two in pairs for sentence in known.unexplained(other, name, *two)]
    return differences + list(graph.out_of_order(definition, faulty, known.ORDERS))


def in_terraform(mutation: Mutation, place: Path, project: Project) -> Iterator[str]:
    """What is said of a fault in the variables."""
    modules = {variant: place / module for variant, module in definitions.MODULES.items()}
    if mutation.shows == BAD_INPUT:
        # Those of the input that it is about, or those between inputs: a plan takes its time.
        table = [*bad_input.cases(), *bad_input.BEYOND_CLOUDFORMATION]
        table = [case for case in table if case.variant == mutation.variant]
        table = [case for case in table if case.about == mutation.says[-1]] or [case for case in table if not case.about]
        yield from bad_input.judged("Terraform", table, bad_input.by_terraform(modules, table, place / "plan"))
    elif mutation.shows == LIFECYCLES:
        yield from known.lifecycle_differences(mutation.variant, plans.Module.read(modules[mutation.variant]))
    else:
        module = plans.Module.read(modules[mutation.variant])
        kind, template = project.inputs_of_cdk(mutation.variant), project.template(mutation.variant)
        yield from inputs.input_differences(module, kind, template)
        yield from inputs.output_differences(module, inputs.cloudformation_outputs(template), "CloudFormation")


def in_cloudformation(mutation: Mutation, place: Path, project: Project) -> Iterator[str]:
    """What is said of a fault in a template."""
    variant = mutation.variant
    template = cloudformation.load(place / definitions.TEMPLATES[variant])
    if mutation.shows == INPUTS:
        module = project.module(variant)
        yield from inputs.input_differences(module, project.inputs_of_cdk(variant), template)
        yield from inputs.output_differences(module, inputs.cloudformation_outputs(template), "CloudFormation")
    elif mutation.shows == BAD_INPUT:
        table = [case for case in bad_input.for_cloudformation() if case.variant == variant]
        said = [bad_input.by_cloudformation({variant: template}, case) for case in table]
        yield from bad_input.judged("CloudFormation", table, said)
    elif mutation.shows == PRIORITIES:
        yield from definitions.wrong_priorities(template, CONFIGURATIONS["alb"])
    else:
        other = definitions.of_cloudformation(template, CONFIGURATIONS[mutation.shows])
        yield from in_graph("CloudFormation", mutation.shows, project, other)


def in_cdk(mutation: Mutation, place: Path, project: Project) -> Iterator[str]:
    """What is said of a fault in the constructs."""
    variant = mutation.variant
    app = definitions.cdk_app(place / definitions.CDK)
    if mutation.shows == INPUTS:
        kind = app.VARIANTS[variant][1]
        yield from inputs.input_differences(project.module(variant), kind, project.template(variant))
    elif mutation.shows == BAD_INPUT:
        table = bad_input.cases()
        yield from bad_input.judged("CDK", table, bad_input.by_cdk(app, table, place / "packages"))
    else:
        other = definitions.of_cdk(app, CONFIGURATIONS[mutation.shows], project.package)
        yield from in_graph("CDK", mutation.shows, project, other)
