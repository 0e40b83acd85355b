"""Owns what CloudFormation does with a template before it makes anything.

In come a template (YAML or JSON) and parameters; out go the resources and outputs it asks for, with everything
evaluated, or the sentences with which the service refuses the parameters. What this module does not know is an error,
never skipped. A reference to a resource becomes what `kinds` says AWS would answer, with a token where the resource's
id would be.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

import yaml

from . import kinds
from .kinds import ACCOUNT, PARTITION, REGION, URL_SUFFIX

PSEUDO_PARAMETERS = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": PARTITION,
    "AWS::Region": REGION,
    "AWS::URLSuffix": URL_SUFFIX,
}
NO_VALUE = object()
RESOURCE_KEYS = {"Type", "Properties", "Condition", "DependsOn", "DeletionPolicy", "UpdateReplacePolicy", "Metadata"}
SECTIONS = {
    "AWSTemplateFormatVersion", "Transform", "Description", "Metadata",
    "Parameters", "Rules", "Conditions", "Resources", "Outputs",
}  # fmt: skip
PARAMETER_KEYS = {
    "Type", "Default", "Description", "AllowedPattern", "AllowedValues", "MaxLength", "ConstraintDescription",
}  # fmt: skip


class TemplateError(kinds.ParityError):
    """What CloudFormation would refuse, or what this module does not know."""


@dataclass
class Resource:
    """One evaluated resource; its references hold tokens."""

    type: str
    properties: dict[str, Any]
    depends_on: list[str] = field(default_factory=list)
    refers_to: set[str] = field(default_factory=set)
    deletion_policy: str = "Delete"
    update_replace_policy: str = "Delete"


@dataclass
class Stack:
    """What a template asks for under certain parameters. `tokens` says which resource each token stands for,
    `declared` how the template has it."""

    resources: dict[str, Resource]
    outputs: dict[str, Any]
    tokens: dict[str, str]
    declared: dict[str, Any]


class _Loader(yaml.CSafeLoader):
    """YAML with CloudFormation's short forms, and without YAML's surprises (dates, repeated keys)."""


def _short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        text = loader.construct_scalar(node)
        return {name: text.split(".", 1) if suffix == "GetAtt" else text}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_mapping(node, deep=True)}


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[str, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    repeated = {key for key in keys if keys.count(key) > 1}
    if repeated:
        raise TemplateError(f"repeated keys {sorted(repeated)} at line {node.start_mark.line + 1}")
    return loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("!", _short_form)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
# 2012-10-17 is a policy's version, not a day.
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))


def parse(text: str) -> dict[str, Any]:
    """The template in `text`, YAML or JSON, with short forms made long."""
    template = yaml.load(text, _Loader)
    unknown = set(template) - SECTIONS
    if unknown:
        raise TemplateError(f"unknown sections {sorted(unknown)}")
    return template


def load(path: Path) -> dict[str, Any]:
    """The template in a file."""
    return parse(path.read_text())


def evaluate(template: dict[str, Any], parameters: dict[str, str] | None = None, stack_name: str = "stack") -> Stack:
    """What the template asks for; raises TemplateError with every sentence where the parameters are refused."""
    sentences = refusals(template, parameters or {})
    if sentences:
        raise TemplateError("\n".join(sentences))
    return _Evaluation(template, _values(template, parameters or {}), stack_name).stack()


def refusals(template: dict[str, Any], parameters: dict[str, str]) -> list[str]:
    """The sentences with which the service refuses these parameters before it makes anything; none if it takes them."""
    declared = template.get("Parameters", {})
    unknown = set(parameters) - set(declared)
    if unknown:
        raise TemplateError(f"no such parameters: {sorted(unknown)}")
    sentences = []
    for name, declaration in declared.items():
        surplus = set(declaration) - PARAMETER_KEYS
        if surplus:
            raise TemplateError(f"parameter {name}: unknown keys {sorted(surplus)}")
        value = parameters.get(name, declaration.get("Default"))
        if value is None:
            sentences.append(f"Parameters: [{name}] must have values")
        elif not _satisfies(str(value), declaration):
            sentences.append(declaration.get("ConstraintDescription", f"{name} has no ConstraintDescription"))
    # The service looks at rules only when each parameter by itself is right.
    return sentences or _rule_refusals(template, _values(template, parameters))


def _is_list(declaration: dict[str, Any]) -> bool:
    return declaration["Type"] == "CommaDelimitedList"


def _members(value: str) -> list[str]:
    """Of a list there is always one more member than commas: the empty text has one, which is empty."""
    return [member.strip() for member in value.split(",")]


def _values(template: dict[str, Any], parameters: dict[str, str]) -> dict[str, Any]:
    values = {}
    for name, declaration in template.get("Parameters", {}).items():
        value = str(parameters.get(name, declaration.get("Default")))
        values[name] = _members(value) if _is_list(declaration) else value
    return values


def _satisfies(value: str, declaration: dict[str, Any]) -> bool:
    kind = declaration["Type"]
    if kind not in ("String", "Number", "CommaDelimitedList"):
        raise TemplateError(f"unknown type of parameter {kind}")
    members = _members(value) if _is_list(declaration) else [value]
    if "AllowedPattern" in declaration:
        if kind == "Number":
            raise TemplateError("AllowedPattern is for String and CommaDelimitedList")
        # To CloudFormation \d and \s are ASCII's.
        if not all(re.fullmatch(declaration["AllowedPattern"], member, re.ASCII) for member in members):
            return False
    if "AllowedValues" in declaration:
        allowed = [_text(allowed) for allowed in declaration["AllowedValues"]]
        if not all(member in allowed for member in members):
            return False
    if kind == "Number" and not re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", value, re.ASCII):
        return False
    if "MaxLength" in declaration and kind != "String":
        raise TemplateError("MaxLength is for String")
    return len(value) <= int(declaration.get("MaxLength", 4096))


def _text(value: Any) -> str:
    """A scalar as CloudFormation compares it: as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _rule_refusals(template: dict[str, Any], values: dict[str, Any]) -> list[str]:
    sentences = []
    for name, rule in template.get("Rules", {}).items():
        if set(rule) - {"RuleCondition", "Assertions"}:
            raise TemplateError(f"rule {name}: unknown keys in {sorted(rule)}")
        if "RuleCondition" in rule and not _rule(rule["RuleCondition"], values):
            continue
        for assertion in rule["Assertions"]:
            if not _rule(assertion["Assert"], values):
                sentences.append(assertion["AssertDescription"])
    return sentences


def _two_to_ten(function: str, operands: list[Any]) -> list[Any]:
    """The operands of Fn::And and Fn::Or, of which the service takes so many."""
    if not 2 <= len(operands) <= 10:
        raise TemplateError(f"{function} takes 2 to 10 conditions, and has {len(operands)}")
    return operands


def _rule(expression: Any, values: dict[str, Any]) -> Any:
    """A rule's expression: only the functions that AWS lists for rules, and only parameters."""
    if isinstance(expression, list):
        return [_rule(item, values) for item in expression]
    if not isinstance(expression, dict):
        return _text(expression)
    ((function, argument),) = expression.items()
    match function:
        case "Ref":
            return values[argument]
        case "Fn::And":
            return all(_rule(_two_to_ten(function, argument), values))
        case "Fn::Or":
            return any(_rule(_two_to_ten(function, argument), values))
        case "Fn::Not":
            return not _rule(argument[0], values)
        case "Fn::Equals":
            left, right = _rule(argument, values)
            return left == right
        case "Fn::Contains":
            members, wanted = _rule(argument, values)
            return wanted in members
        case "Fn::EachMemberEquals":
            members, wanted = _rule(argument, values)
            return all(member == wanted for member in members)
    raise TemplateError(f"{function} is not known in rules")


class _Evaluation:
    """One template under one set of parameters."""

    def __init__(self, template: dict[str, Any], values: dict[str, Any], stack_name: str) -> None:
        self.template = template
        self.values = {**values, **PSEUDO_PARAMETERS, "AWS::StackName": stack_name}
        self.has_loops = template.get("Transform") == "AWS::LanguageExtensions"
        self.declared: dict[str, Any] = self.unrolled(template["Resources"])
        self.tokens = {name: kinds.token(number) for number, name in enumerate(self.declared)}
        self.referred: set[str] = set()

    def stack(self) -> Stack:
        resources = {name: self.resource(name) for name in self.declared if self.included(self.declared[name])}
        outputs = {}
        outputs_refer_to: set[str] = set()
        for name, output in self.unrolled(self.template.get("Outputs", {})).items():
            surplus = set(output) - {"Value", "Condition", "Description"}
            if surplus:
                raise TemplateError(f"output {name}: unknown keys {sorted(surplus)}")
            if self.included(output):
                self.referred = set()
                outputs[name] = self.value(output["Value"])
                outputs_refer_to |= self.referred
        for name, resource in resources.items():
            for other in resource.refers_to:
                if other not in resources:
                    raise TemplateError(f"{name} refers to {other}, which a condition leaves out")
            # DependsOn on a resource that is left out is ignored by the service.
            resource.depends_on = [other for other in resource.depends_on if other in resources]
        missing = outputs_refer_to - set(resources)
        if missing:
            raise TemplateError(f"outputs refer to {sorted(missing)}, which a condition leaves out")
        used = {token: name for name, token in self.tokens.items() if name in resources}
        return Stack(resources, outputs, used, self.declared)

    def included(self, item: dict[str, Any]) -> bool:
        return "Condition" not in item or self.condition({"Condition": item["Condition"]})

    def resource(self, name: str) -> Resource:
        declared = self.declared[name]
        surplus = set(declared) - RESOURCE_KEYS
        if surplus:
            raise TemplateError(f"{name}: unknown keys {sorted(surplus)}")
        self.referred = set()
        properties = self.value(declared.get("Properties", {}))
        depends_on = declared.get("DependsOn", [])
        depends_on = [depends_on] if isinstance(depends_on, str) else list(depends_on)
        for other in depends_on:
            if other not in self.declared:
                raise TemplateError(f"{name} depends on {other}, which is not there")
        policies = [declared.get(key, "Delete") for key in ("DeletionPolicy", "UpdateReplacePolicy")]
        return Resource(declared["Type"], properties, depends_on, self.referred, *policies)

    def unrolled(self, section: dict[str, Any]) -> dict[str, Any]:
        """The section with each Fn::ForEach replaced by what it stands for."""
        out: dict[str, Any] = {}
        for key, body in section.items():
            for name, item in self.loop(key, body) if key.startswith("Fn::ForEach::") else [(key, body)]:
                if name in out:
                    raise TemplateError(f"{name} is there twice")
                out[name] = item
        return out

    def loop(self, key: str, body: list[Any]) -> list[tuple[str, Any]]:
        if not self.has_loops:
            raise TemplateError(f"{key} needs the transform AWS::LanguageExtensions")
        variable, collection, template = body
        return [
            (_replaced(name, variable, item), _replaced(inner, variable, item))
            for item in self.value(collection)
            for name, inner in template.items()
        ]

    def condition(self, expression: Any) -> bool:
        ((function, argument),) = expression.items()
        match function:
            case "Condition":
                if argument not in self.template.get("Conditions", {}):
                    raise TemplateError(f"no condition {argument}")
                return self.condition(self.template["Conditions"][argument])
            case "Fn::And":
                return all([self.condition(item) for item in _two_to_ten(function, argument)])
            case "Fn::Or":
                return any([self.condition(item) for item in _two_to_ten(function, argument)])
            case "Fn::Not":
                return not self.condition(argument[0])
            case "Fn::Equals":
                left, right = (self.value(item) for item in argument)
                return _text(left) == _text(right)
        raise TemplateError(f"{function} is not known in conditions")

    def value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in map(self.value, value) if item is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function == "Ref" or function.startswith("Fn::") and not function.startswith("Fn::ForEach::"):
                return self.function(function, argument)
        evaluated = {key: self.value(item) for key, item in self.unrolled(value).items()}
        return {key: item for key, item in evaluated.items() if item is not NO_VALUE}

    def function(self, name: str, argument: Any) -> Any:
        functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self.reference,
            "Fn::GetAtt": self.attribute,
            "Fn::If": lambda a: self.value(a[1] if self.condition({"Condition": a[0]}) else a[2]),
            "Fn::Join": lambda a: a[0].join(_text(item) for item in self.value(a[1])),
            "Fn::Split": lambda a: self.value(a[1]).split(a[0]),
            "Fn::Select": lambda a: self.value(a[1])[int(_text(self.value(a[0])))],
            "Fn::Sub": self.substituted,
        }
        if name not in functions:
            raise TemplateError(f"{name} is not known")
        return functions[name](argument)

    def reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self.values:
            return self.values[name]
        return self.attribute([name, "Ref"])

    def attribute(self, argument: str | list[str]) -> str:
        name, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
        if name not in self.declared:
            raise TemplateError(f"a reference to {name}, which is not there")
        self.referred.add(name)
        return kinds.physical(self.declared[name]["Type"], attribute, self.tokens[name])

    def substituted(self, argument: str | list[Any]) -> str:
        text, extra = (argument, {}) if isinstance(argument, str) else argument

        def one(match: re.Match[str]) -> str:
            name = match[1].strip()
            if name in extra:
                return _text(self.value(extra[name]))
            if "." in name:
                return self.attribute(name)
            return _text(self.reference(name))

        return re.sub(r"\$\{([^}]*)\}", one, text)


def _replaced(value: Any, variable: str, item: str) -> Any:
    """`value` with the loop's variable replaced: `${X}` by the item, `&{X}` by its letters and digits."""
    if isinstance(value, str):
        plain = re.sub(r"[^A-Za-z0-9]", "", item)
        return value.replace("${%s}" % variable, item).replace("&{%s}" % variable, plain)
    if isinstance(value, list):
        return [_replaced(inner, variable, item) for inner in value]
    if not isinstance(value, dict):
        return value
    if value == {"Ref": variable}:
        return item
    return {_replaced(key, variable, item): _replaced(inner, variable, item) for key, inner in value.items()}
