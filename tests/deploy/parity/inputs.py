"""Owns the comparison of what definitions are told and tell: inputs with their types, defaults, descriptions and
sentences, and outputs with their descriptions.

In come the definitions; out goes a sentence for each difference. What values an input takes, `bad_input` compares.
"""

import re
import sys
from dataclasses import MISSING, Field, dataclass, fields
from types import ModuleType
from typing import Any, Iterator

from .cloudformation import TemplateError, refusals
from .configurations import text
from .kinds import ParityError, pascal
from .plans import META, Module


class InputError(ParityError):
    """What an input, or an output, cannot be."""


@dataclass(frozen=True)
class Input:
    """One input. The default is written as a parameter's; a required input has none. Sentences are its rules'."""

    type: str
    default: str | None
    description: str
    sentences: frozenset[str]


@dataclass(frozen=True)
class Known:
    """Inputs that only some definitions have, and why."""

    inputs: frozenset[str]
    reason: str


CLOUDFORMATION_LACKS = [
    Known(frozenset({"PackagePath"}), "CloudFormation cannot upload: it is told where the package is."),
    Known(frozenset({"Environment", "Tags"}), "CloudFormation has no maps, and its tags are the stack's own."),
]
CLOUDFORMATION_HAS = [
    Known(frozenset({"PackageBucket", "PackageKey"}), "Where the package is."),
    Known(frozenset({"Release"}), "CloudFormation does not see that the package has changed."),
]

# A parameter of CloudFormation has one sentence for all its rules: it says these as one.
JOINED = (
    "The configuration must be a JSON object of at most 3500 characters.",
    'The configuration must hold no secret: hs256 and clientSecret must be {"$secret": "ARN"}.',
)


def of_terraform(module: Module) -> dict[str, Input]:
    """A module's variables, by CloudFormation's names."""
    return {pascal(name): variable(name, body) for name, body in module.variables.items()}


def variable(name: str, body: dict[str, Any]) -> Input:
    types = {"string": "string", "number": "number", "bool": "bool", "list(string)": "list", "map(string)": "map"}
    default = body.get("default", MISSING)
    if surplus := set(body) - {"type", "default", "description", "nullable", "validation"} - META:
        raise InputError(f"variable {name}: unknown {sorted(surplus)}")
    # A variable that may be nothing says so by its default: else `null` would pass its rules.
    if body.get("nullable", True) != (default is None):
        raise InputError(f"variable {name}: nullable must be false, but where the default is null")
    # A sentence that names the value: as CDK has it.
    sentences = frozenset(
        rule["error_message"].replace("${var.%s}" % name, "{value}") for rule in body.get("validation", [])
    )
    return Input(types[body["type"]], None if default is MISSING else text(default), body["description"], sentences)


def of_cdk(kind: type) -> dict[str, Input]:
    """A dataclass's fields, by CloudFormation's names. A rule between inputs is said of each that it is about."""
    return {pascal(one.name): cdk_input(kind, one) for one in fields(kind)}


def cdk_input(kind: type, one: Field) -> Input:
    types = {"str": "string", "int": "number", "bool": "bool", "Sequence[str]": "list", "Mapping[str, str]": "map"}
    default = one.default if one.default_factory is MISSING else one.default_factory()
    # That a value is of its type, Terraform says in its own words.
    sentences = {rule.sentence for rule in one.metadata["rules"] if not rule.sentence.startswith("It must ")}
    written = None if default is MISSING else text(default)
    return Input(types[one.type.removesuffix(" | None")], written, one.metadata["description"], frozenset(sentences))


def of_cloudformation(template: dict[str, Any]) -> dict[str, Input]:
    """A template's parameters. What a rule says is said of each that its assertion refers to."""
    of_rules: dict[str, set[str]] = {name: set() for name in template["Parameters"]}
    for rule in template["Rules"].values():
        for assertion in rule["Assertions"]:
            for name in referred(assertion["Assert"]):
                of_rules[name].add(assertion["AssertDescription"])
    return {name: parameter(template, name, of_rules[name]) for name in template["Parameters"]}


def referred(expression: Any) -> set[str]:
    """The parameters that an expression refers to."""
    if isinstance(expression, dict) and "Ref" in expression:
        return {expression["Ref"]}
    inner = expression.values() if isinstance(expression, dict) else expression if isinstance(expression, list) else ()
    return {name for item in inner for name in referred(item)}


def parameter(template: dict[str, Any], name: str, of_rules: set[str]) -> Input:
    declared = template["Parameters"][name]
    default = None if "Default" not in declared else str(declared["Default"])
    type_ = {"String": "string", "Number": "number", "CommaDelimitedList": "list"}[declared["Type"]]
    if declared.get("AllowedValues") == ["true", "false"]:
        type_ = "bool"
    elif type_ == "string" and default and re.fullmatch(r"-?\d+", default) and not takes(template, name, "a"):
        # A Number takes fractions: a whole number is a text with a pattern.
        type_ = "number"
    sentence = declared.get("ConstraintDescription")
    sentences = JOINED if sentence == " ".join(JOINED) else [sentence] if sentence else []
    return Input(type_, default, declared["Description"], frozenset(sentences) | of_rules)


def takes(template: dict[str, Any], name: str, value: str) -> bool:
    """Whether a parameter takes a value, by its own rules."""
    alone = {"Parameters": {name: template["Parameters"][name]}}
    try:
        return not refusals(alone, {name: value})
    except TemplateError:
        return False


def input_differences(module: Module, kind: type, template: dict[str, Any]) -> Iterator[str]:
    """Where the inputs of one variant differ from Terraform's."""
    terraform, cdk, cloudformation = of_terraform(module), of_cdk(kind), of_cloudformation(template)
    # Rules between inputs are in other places in each: they are compared as a whole.
    between = {rule.sentence for rule in kind.CROSS_RULES}
    said = {sentence for one in terraform.values() for sentence in one.sentences}
    for sentence in sorted(between - said):
        yield f"CDK, between inputs: Terraform does not say: {sentence}"
    yield from unequal("CDK", terraform, cdk, between)
    absent = {name for known in CLOUDFORMATION_LACKS for name in known.inputs}
    added = {name for known in CLOUDFORMATION_HAS for name in known.inputs}
    yield from unequal(
        "CloudFormation",
        {name: one for name, one in terraform.items() if name not in absent},
        {name: one for name, one in cloudformation.items() if name not in added},
        between,
    )
    # So that each known difference is one.
    for name in (absent & set(cloudformation)) | (added & set(terraform)):
        yield f"{name}: inputs.py says that not all definitions have this input"


def unequal(definition: str, terraform: dict[str, Input], other: dict[str, Input], between: set[str]) -> Iterator[str]:
    """Where inputs differ. Of their sentences, `between` are rules between inputs, which are said elsewhere."""
    for name in sorted({*terraform, *other}):
        if name not in terraform or name not in other:
            yield f"{definition}, {name}: only {'Terraform' if name in terraform else definition} has this input"
            continue
        left, right = terraform[name], other[name]
        for aspect in ("type", "default", "description"):
            if getattr(left, aspect) != getattr(right, aspect):
                yield f"{definition}, {name}, {aspect}: {getattr(left, aspect)!r} | {getattr(right, aspect)!r}"
        own = [sorted(one.sentences - between) for one in (left, right)]
        if own[0] != own[1]:
            yield f"{definition}, {name}, sentences: {own[0]} | {own[1]}"


def output_differences(module: Module, outputs: dict[str, str], definition: str) -> Iterator[str]:
    """Where outputs, with their descriptions, differ from Terraform's."""
    for name, body in module.outputs.items():
        if surplus := set(body) - {"description", "value"} - META:
            raise InputError(f"output {name}: unknown {sorted(surplus)}")
    terraform = {pascal(name): body["description"] for name, body in module.outputs.items()}
    for name in sorted({*terraform, *outputs}):
        if terraform.get(name) != outputs.get(name):
            yield f"{definition}, output {name}: {terraform.get(name)!r} | {outputs.get(name)!r}"


def cdk_outputs(app: ModuleType, variant: str) -> dict[str, str]:
    """The outputs that a construct of the app can have."""
    construct, _ = app.VARIANTS[variant]
    outputs = sys.modules[construct.__module__].OUTPUTS
    return {pascal(name): description for name, description in outputs.items()}


def cloudformation_outputs(template: dict[str, Any]) -> dict[str, str]:
    """The outputs that a template can have."""
    return {name: output.get("Description") for name, output in template["Outputs"].items()}
