"""Owns what is known beforehand: where the definitions may differ, and why; and what must be made after what.

In come differences; out go those that nothing here explains. Each entry is needed: one that explains nothing is an
error.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from .configurations import PACKAGE, RELEASE
from .graph import Difference, Graph, Order, differences


@dataclass(frozen=True)
class Known:
    """A place where another definition differs from Terraform's, with patterns of all three; and the two values, as
    patterns of their JSON, so that nothing else passes there."""

    definition: str
    configuration: str
    place: str
    terraform: str
    other: str
    reason: str

    def explains(self, definition: str, configuration: str, difference: Difference) -> bool:
        return all(
            re.fullmatch(pattern, text)
            for pattern, text in (
                (self.definition, definition),
                (self.configuration, configuration),
                (self.place, difference.place),
                (self.terraform, as_json(difference.left)),
                (self.other, as_json(difference.right)),
            )
        )


def as_json(value: Any) -> str:
    """A side of a difference; nothing is `null`."""
    return json.dumps(value, sort_keys=True)


FUNCTION = r"AWS::Lambda::Function/\w+ "
WITH_MAPS = "everything.*|ecs everything"

KNOWN = [
    Known(
        "CDK|CloudFormation",
        ".*",
        FUNCTION + "Code/Package",
        '"[^"]+"',
        "null",
        "Terraform uploads the package itself.",
    ),
    Known(
        "CDK",
        ".*",
        FUNCTION + "Code/S3Bucket",
        "null",
        '"cdk-hnb659fds-assets-[^"]+"',
        "CDK uploads the package to its own bucket.",
    ),
    Known("CDK", ".*", FUNCTION + "Code/S3Key", "null", r'"[0-9a-f]{64}\.zip"', "… under the hash of its bytes."),
    Known(
        "CloudFormation",
        ".*",
        FUNCTION + "Code/S3Bucket",
        "null",
        json.dumps(PACKAGE["PackageBucket"]),
        "CloudFormation takes the package from where the user put it.",
    ),
    Known(
        "CloudFormation", ".*", FUNCTION + "Code/S3Key", "null", json.dumps(PACKAGE["PackageKey"]), "… under its key."
    ),
    Known(
        "CloudFormation",
        ".*",
        FUNCTION + "Description",
        r'"Rolecall: [^()]+ caller"',
        rf'"Rolecall: [^()]+ caller \(release {RELEASE}\)"',
        "CloudFormation does not see that a package has changed: the release says so, and something of the function "
        "must change with it, or Lambda publishes no version.",
    ),
    Known(
        "CloudFormation",
        ".*",
        "AWS::Lambda::Version/newest Description",
        "null",
        json.dumps(RELEASE),
        "A new release makes a new version, as above.",
    ),
    Known(
        "CloudFormation",
        WITH_MAPS,
        FUNCTION + "Environment/Variables/(FIRST|ISSUER)",
        '".+"',
        "null",
        "CloudFormation has no maps: no further environment variables.",
    ),
    Known(
        "CloudFormation",
        WITH_MAPS,
        r"AWS::ECS::TaskDefinition/\w+ ContainerDefinitions/0/Environment/(FIRST|ISSUER)",
        '".+"',
        "null",
        "… neither for the container.",
    ),
]


def explanations(definition: str, configuration: str, difference: Difference) -> list[Known]:
    """What explains a difference."""
    return [known for known in KNOWN if known.explains(definition, configuration, difference)]


def unexplained(definition: str, configuration: str, terraform: Graph, other: Graph) -> list[str]:
    """A sentence for each difference that nothing explains."""
    return [
        f"{definition}, {configuration}: {difference}"
        for difference in differences(terraform, other)
        if not explanations(definition, configuration, difference)
    ]


def not_needed(graphs: dict[tuple[str, str], tuple[Graph, Graph]]) -> list[str]:
    """A sentence for each explanation that explains nothing. The keys are definition and configuration, the graphs
    Terraform's and the other's."""
    used = {
        known
        for (definition, configuration), pair in graphs.items()
        for difference in differences(*pair)
        for known in explanations(definition, configuration, difference)
    }
    return [f"known.py: not needed any more: {known.place}: {known.reason}" for known in KNOWN if known not in used]


ORDERS = [
    Order(
        "AWS::Lambda::Function/*",
        "AWS::IAM::Role/*-function#Policies",
        "Lambda makes network interfaces, and the first log line, with these permissions.",
    ),
    Order("AWS::Lambda::Function/*", "AWS::Logs::LogGroup//aws/lambda/*", "Lambda would make one that never forgets."),
    *(
        Order(
            f"AWS::CloudWatch::{type_}/*",
            "AWS::Lambda::Function/*",
            "CloudWatch lets another stack's be overwritten: the function, whose name is refused, must stop it.",
        )
        for type_ in ("Alarm", "Dashboard")
    ),
    Order("AWS::Lambda::Permission/*", "AWS::Lambda::Alias/live", "It is a permission to call the alias."),
    Order("AWS::Lambda::Url/live", "AWS::Lambda::Alias/live", "It is the alias's URL."),
    Order(
        "AWS::ElasticLoadBalancingV2::TargetGroup/*#Targets",
        "AWS::Lambda::Permission/elasticloadbalancing.amazonaws.com",
        "A target that may not be called is refused.",
    ),
    Order(
        "AWS::WAFv2::WebACLAssociation/*",
        "AWS::ApiGateway::Stage/*",
        "Without a stage there is nothing to stand before.",
    ),
    Order(
        "AWS::ApiGatewayV2::Stage/*",
        "AWS::Logs::LogGroup//aws/vendedlogs/apigateway/*",
        "A stage without its log group is refused.",
    ),
    Order(
        "AWS::ECS::Service/*",
        "AWS::ElasticLoadBalancingV2::ListenerRule/*",
        "ECS refuses a target group that no listener uses.",
    ),
    Order("AWS::ECS::Service/*", "AWS::IAM::Role/*#Policies", "A task starts only with its roles' permissions."),
]
