"""Owns the graph that definitions are compared by: resources under their names, outputs, and what waits for what.

In come a plan of Terraform or an evaluated template; out goes a graph in which every token has become what it stands
for, and everything that can be written in two ways is written in one. `differences` compares two.
"""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Iterator

from . import kinds
from .cloudformation import Resource, Stack
from .kinds import TOKEN, Properties
from .plans import Module, Plan


class GraphError(kinds.ParityError):
    """What cannot be a graph: two resources of one name, or a reference that could mean several."""


@dataclass
class Node:
    """One resource: where the definition has it, its token, type and properties."""

    source: str
    token: str
    type: str
    properties: Properties
    waits_for: set[str] = field(default_factory=set)


@dataclass
class Graph:
    """Resources and outputs by name, and for each resource those it directly waits for.

    What is a resource in one definition and a property in another is a part. As a resource it waits by a name of its
    own: its whole's, the property's and its number among those."""

    resources: dict[str, Properties]
    outputs: dict[str, Any]
    waits_for: dict[str, set[str]]

    def waits(self, later: str, earlier: str) -> bool:
        """Whether one is made after the other, directly or not."""
        seen, open_ = set(), {later}
        while open_:
            key = open_.pop()
            seen.add(key)
            open_ |= self.waits_for.get(key, set()) - seen
        return earlier in seen

    def parts(self, whole: str, property_: str) -> list[str]:
        """By which names a property of a resource waits: those of its parts, or its own."""
        return [key for key in self.waits_for if key.startswith(f"{whole}#{property_}/")] or [whole]


def from_plan(module: Module, plan: Plan) -> Graph:
    """The graph of Terraform's plan."""
    nodes = []
    for resource in plan.resources:
        properties = resource.properties
        waits_for = module.referred(module.resources[resource.address]) - {resource.address}
        nodes.append(Node(resource.address, resource.token, resource.type, properties, waits_for))
        if resource.type == "AWS::Lambda::Function" and properties.pop("Publish", False):
            kept = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}
            version = {"FunctionName": properties["FunctionName"], **kept}
            nodes.append(Node(f"{resource.address}.version", "", "AWS::Lambda::Version", version, {resource.address}))
        if resource.type == "AWS::DynamoDB::Table" and "RangeKey" in properties:
            properties["KeySchema"].append({"AttributeName": properties.pop("RangeKey"), "KeyType": "RANGE"})
        if resource.type == "AWS::ApiGateway::Deployment":
            hashes = {
                digest(api.properties["Body"]) for api in plan.resources if api.type == "AWS::ApiGateway::RestApi"
            }
            properties["Anew"] = WITH_BODY if hashes & set(properties.get("Anew", {}).values()) else None
    return graph(nodes, {kinds.pascal(name): value for name, value in plan.outputs.items()})


def from_stack(stack: Stack) -> Graph:
    """The graph of an evaluated template."""
    tokens = {name: token for token, name in stack.tokens.items()}
    nodes = []
    for name, resource in stack.resources.items():
        properties = template_properties(resource)
        if resource.type == "AWS::ApiGateway::Deployment":
            apis = [stack.declared[other] for other in resource.refers_to]
            hashes = {
                digest(api["Properties"]["Body"], separators)[:8]
                for api in apis if "Body" in api["Properties"] for separators in ((",", ":"), (", ", ": "))
            }  # fmt: skip
            properties["Anew"] = WITH_BODY if name[-8:] in hashes else None
        waits_for = {*resource.refers_to, *resource.depends_on}
        nodes.append(Node(name, tokens[name], resource.type, properties, waits_for))
    return graph(nodes, stack.outputs)


# A deployment is a copy of its API, and made anew only where something of its own changes: Terraform's trigger, or the
# logical id in a template. Either must have the hash of the API's body.
WITH_BODY = "with the body"


def digest(body: Any, separators: tuple[str, str] = (",", ":")) -> str:
    """The hash of a body's JSON."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=separators).encode()).hexdigest()


def template_properties(resource: Resource) -> Properties:
    """A template's resource, with what Terraform would say of it otherwise than by a property."""
    properties = dict(resource.properties)
    for name, value in (
        ("DeletionPolicy", resource.deletion_policy),
        ("UpdateReplacePolicy", resource.update_replace_policy),
    ):
        if value != "Delete":
            properties[name] = value
    if resource.type == "AWS::EC2::SecurityGroup" and not properties.get("SecurityGroupEgress"):
        # EC2's own rule.
        properties["SecurityGroupEgress"] = [{"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}]
    return properties


def graph(nodes: list[Node], outputs: dict[str, Any]) -> Graph:
    """The graph of nodes whose properties and outputs hold tokens."""
    resolve = resolver(nodes)
    named: dict[str, Node] = {}
    parts: list[Node] = []
    keys: dict[str, set[str]] = {}
    for node in nodes:
        node.properties = resolve(node.properties)
        if node.type in kinds.PARTS:
            parts.append(node)
            continue
        key = f"{node.type}/{filled(known(node.type).label, node)}"
        if key in named:
            raise GraphError(f"{node.source} and {named[key].source} are both {key}")
        named[key] = node
        keys.setdefault(node.source, set()).add(key)
    waits_for = {key: set() for key in named}
    for part in parts:
        key = f"{added(part, named)}/{len(waits_for)}"
        keys.setdefault(part.source, set()).add(key)
        waits_for[key] = set()
    for node in nodes:
        for key in keys[node.source]:
            waits_for[key] |= {other for source in node.waits_for for other in keys.get(source, ())}
    resources = {}
    for key, node in named.items():
        try:
            resources[key] = canonical(node.type, node.properties)
        except KeyError as missing:
            raise GraphError(f"{node.source} ({node.type}) has no {missing}") from missing
    return Graph(resources, canonical("Outputs", resolve(outputs)), waits_for)


def known(type_: str) -> kinds.Kind:
    if type_ not in kinds.KINDS:
        raise kinds.UnknownKind(f"teach kinds.py the type {type_}")
    return kinds.KINDS[type_]


def filled(template: str, node: Node) -> str:
    try:
        return template.format_map(node.properties)
    except KeyError as missing:
        raise GraphError(f"{node.source} ({node.type}) has no {missing}, by which it is told from others") from missing


def resolver(nodes: list[Node]) -> Callable[[Any], Any]:
    """Puts into any value what its tokens stand for."""
    by_token: dict[str, list[Node]] = {}
    for node in nodes:
        by_token.setdefault(node.token, []).append(node)

    def resolve(value: Any) -> Any:
        if isinstance(value, dict):
            return {resolve(key): resolve(item) for key, item in value.items()}
        if isinstance(value, list):
            return [resolve(item) for item in value]
        return TOKEN.sub(lambda match: meant(match[1], match[2]), value) if isinstance(value, str) else value

    def meant(number: str, part: str) -> str:
        candidates = by_token.get(kinds.token(int(number)), [])
        if len(candidates) != 1:
            raise GraphError(f"a reference means {[node.source for node in candidates]}: it must mean one")
        node = candidates[0]
        kind = known(node.type)
        template = (kind.id or kind.label) if part == "id" else "{%s}" % part
        needed = {name: resolve(value) for name, value in node.properties.items() if "{%s}" % name in template}
        return filled(template, Node(node.source, "", node.type, needed))

    return resolve


def added(part: Node, named: dict[str, Node]) -> str:
    """Adds what is a resource in one definition and a property in another to the resource it belongs to."""
    rule = kinds.PARTS[part.type]
    name = filled("{%s}" % rule.by, part)
    for key, node in named.items():
        if node.type == rule.of and name in names(node):
            for property_, value in rule.added(part.properties).items():
                if isinstance(value, list):
                    node.properties[property_] = node.properties.get(property_, []) + value
                else:
                    node.properties[property_] = value
            return f"{key}#{property_}"
    raise GraphError(f"{part.source} belongs to {name}, which is not there")


def names(node: Node) -> set[str]:
    """All that a resource is called by references."""
    kind = known(node.type)
    id_ = filled(kind.id or kind.label, node)
    answers = {answer.replace("{id}", id_) for answer in kind.attributes.values()}
    return {id_, filled(kind.label, node), *answers}


# One way of writing.

# Lists that are sets.
SETS = {
    "Action", "NotAction", "Resource", "AlarmActions", "OKActions", "Dimensions", "Metrics", "SubnetIds", "Subnets",
    "SecurityGroupIds", "SecurityGroups", "SecurityGroupIngress", "Conditions", "Values",
    "AttributeDefinitions", "Policies", "ClusterSettings",
}  # fmt: skip
LISTS_OF_ONE = {"Action", "Resource"}
# JSON whose values are of a type: 300 is not "300", and the order of a list means something. (A policy is not so.)
TYPED = {"Body", "DashboardBody", "Format"}
# Names in them are a user's, and an empty text is one.
FREE = {"Environment", "Variables"}


def canonical(type_: str, properties: Properties) -> Properties:
    """The properties in the one way of writing."""
    properties = dict(properties)
    for name in ("FunctionName", "TargetFunctionArn"):
        if name in properties and type_ in (
            "AWS::Lambda::Permission",
            "AWS::Lambda::Alias",
            "AWS::Lambda::Version",
            "AWS::Lambda::Url",
        ):
            properties[name] = function_arn(properties[name], properties.pop("Qualifier", None))
    for name in ("Tags", "TargetGroupAttributes"):
        if isinstance(properties.get(name), list):
            properties[name] = by_name(properties[name], "Key", "Value")
    if "SecurityGroupEgress" in properties:
        properties["SecurityGroupEgress"] = by_name(properties["SecurityGroupEgress"], "CidrIp")
    if type_ == "AWS::ElasticLoadBalancingV2::ListenerRule":
        properties["Conditions"] = [listener_condition(condition) for condition in properties["Conditions"]]
    if type_ == "AWS::ECS::Service":
        # Its name or its ARN.
        properties["Cluster"] = properties["Cluster"].rsplit(":cluster/", 1)[-1]
    if "ContainerDefinitions" in properties:
        properties["ContainerDefinitions"] = [
            {**container, "Environment": in_order(container["Environment"])}
            for container in properties["ContainerDefinitions"]
        ]
    return written(properties) or {}


def in_order(environment: list[Properties]) -> dict[str, str]:
    """A container's environment by name. In another order it would be another task definition at each deployment."""
    named = by_name(environment, "Name", "Value")
    if list(named) != sorted(named):
        raise GraphError(f"the container's environment is not sorted by name: {list(named)}")
    return named


def by_name(items: list[Properties], name: str, value: str | None = None) -> dict[str, Any]:
    """A list's items, or a property of each, by another property, which no two of them share."""
    named = {item[name]: item[value] if value else item for item in items}
    if len(named) < len(items):
        raise GraphError(f"a {name} is there twice: {[item[name] for item in items]}")
    return named


def function_arn(name: str, qualifier: str | None) -> str:
    """A function or its alias by its ARN: a name, a name with a qualifier, and the ARN say the same."""
    full = name if name.startswith("arn:") else kinds.arn("lambda", f"function:{name}")
    return f"{full}:{qualifier}" if qualifier and not full.endswith(f":{qualifier}") else full


def listener_condition(condition: Properties) -> Properties:
    """A condition, without the name that its kind gives to its values."""
    config = "".join(word.capitalize() for word in condition["Field"].split("-")) + "Config"
    return {"Field": condition["Field"], "Values": condition[config]["Values"]}


def written(value: Any, name: str = "") -> Any:
    """A value in the one way of writing: scalars as texts, sets sorted, nothing empty, documents parsed."""
    if name in TYPED:
        return typed(json.loads(value) if isinstance(value, str) else value)
    if name == "RoleTrustPolicy":
        value = json.loads(value)
    if name in LISTS_OF_ONE and isinstance(value, str):
        value = [value]
    if isinstance(value, dict):
        items = {key: written(item, key) for key, item in value.items()}
        nothing = (None, [], {}) if name in FREE else (None, [], {}, "")
        return {key: item for key, item in items.items() if item not in nothing}
    if isinstance(value, list):
        items = [written(item) for item in value]
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True)) if name in SETS else items
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None else str(value)


def typed(value: Any) -> Any:
    """A value that differs where its JSON does: to Python, true is 1."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    return [typed(item) for item in value] if isinstance(value, list) else json.dumps(value)


# Comparison.


@dataclass(frozen=True)
class Difference:
    """One place at which two definitions differ; a side that has nothing there has None."""

    place: str
    left: Any
    right: Any

    def __str__(self) -> str:
        return f"{self.place}: {short(self.left)} | {short(self.right)}"


def short(value: Any) -> str:
    """A value for a message."""
    text = "nothing" if value is None else json.dumps(value, sort_keys=True)
    return text if len(text) <= 300 else f"{text[:300]}…"


def differences(left: Graph, right: Graph) -> list[Difference]:
    """All places at which two graphs differ."""
    return [
        *compared("", left.resources, right.resources, " "),
        *compared("Outputs ", left.outputs, right.outputs, "/"),
    ]


def compared(place: str, left: Any, right: Any, separator: str = "/") -> Iterator[Difference]:
    """The differences below a place."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}):
            inner = f"{place}{key}{separator}"
            yield from compared(inner, left.get(key), right.get(key))
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, pair in enumerate(zip(left, right, strict=True)):
            yield from compared(f"{place}{index}/", *pair)
    elif left != right:
        yield Difference(place.rstrip("/ "), left, right)


# Order.


@dataclass(frozen=True)
class Order:
    """What must be made after what, wherever both are, and why; and the definition that cannot say so, if there is one,
    and why. Labels may begin or end anyhow (`*`)."""

    later: str
    earlier: str
    reason: str
    but: tuple[str, str] = ("", "")


def out_of_order(definition: str, graph: Graph, orders: Iterable[Order]) -> Iterator[str]:
    """A sentence for each pair that the definition makes in whatever order comes, unless it is known to."""
    for part in [key for key in graph.waits_for if "#" in key]:
        whole = part.split("#")[0]
        if not graph.waits(part, whole):
            yield f"{part} DependsOn: it must wait for {whole}, of which it is a part"
    for order in orders:
        for later, later_keys in matching(graph, order.later):
            for earlier, earlier_keys in matching(graph, order.earlier):
                waits = all(graph.waits(one, other) for one in later_keys for other in earlier_keys)
                if waits and order.but[0] == definition:
                    yield f"{later} waits for {earlier}: known.py says that it cannot: {order.but[1]}"
                elif not waits and order.but[0] != definition:
                    yield f"{later} DependsOn: it must wait for {earlier}: {order.reason}"


def matching(graph: Graph, pattern: str) -> Iterator[tuple[str, list[str]]]:
    """The resources, or properties of such, that a pattern means, each with the names by which it waits."""
    whole, _, property_ = pattern.partition("#")
    start, _, end = whole.partition("*")
    for key, properties in graph.resources.items():
        if key.startswith(start) and key.endswith(end) and ("*" in whole or key == whole):
            if not property_:
                yield key, [key]
            elif property_ in properties:
                yield f"{key}#{property_}", graph.parts(key, property_)
