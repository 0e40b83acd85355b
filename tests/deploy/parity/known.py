"""Owns what is known beforehand: where the definitions may differ, and why; what must be made after what; and how Terraform
replaces.

In come graphs; out go the differences that nothing here explains. Each entry is needed in each configuration that it is
about: one that explains nothing there is an error.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Callable, Iterator

from .configurations import CONFIGURATIONS, PACKAGE, PACKAGE_BYTES, Configuration
from .graph import Difference, Graph, Order, differences
from .plans import Module


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

    def is_about(self, definition: str, configuration: str) -> bool:
        return bool(re.fullmatch(self.definition, definition) and re.fullmatch(self.configuration, configuration))

    def explains(self, difference: Difference) -> bool:
        return all(
            re.fullmatch(pattern, text)
            for pattern, text in (
                (self.place, difference.place),
                (self.terraform, as_json(difference.left)),
                (self.other, as_json(difference.right)),
            )
        )


def as_json(value: Any) -> str:
    """A side of a difference; nothing is `null`."""
    return json.dumps(value, sort_keys=True)


def where(holds: Callable[[Configuration], Any]) -> str:
    """A pattern of those configurations of which something holds."""
    return "|".join(re.escape(name) for name, configuration in CONFIGURATIONS.items() if holds(configuration))


FUNCTION = r"AWS::Lambda::Function/\w+ "
OF_FUNCTION = where(lambda configuration: configuration.variant == "function")

DESCRIPTION = "Rolecall: an MCP endpoint where every call runs as its caller"
# By the release: 1 is the default.
RELEASES = {
    "1": where(lambda configuration: configuration.variant == "function" and not configuration.release),
    "2026-11-20": where(lambda configuration: configuration.release == "2026-11-20"),
}

KNOWN = [
    Known(
        "CDK|CloudFormation",
        OF_FUNCTION,
        FUNCTION + "Code/Package",
        r'"/[^"]+/bootstrap\.zip"',
        "null",
        "Terraform uploads the package itself.",
    ),
    Known(
        "CDK|CloudFormation",
        OF_FUNCTION,
        FUNCTION + "Code/Digest",
        re.escape(json.dumps(base64.b64encode(hashlib.sha256(PACKAGE_BYTES).digest()).decode())),
        "null",
        "… and by its digest it sees that it has changed.",
    ),
    Known(
        "CDK",
        OF_FUNCTION,
        FUNCTION + "Code/S3Bucket",
        "null",
        '"cdk-hnb659fds-assets-[^"]+"',
        "CDK uploads the package to its own bucket.",
    ),
    Known("CDK", OF_FUNCTION, FUNCTION + "Code/S3Key", "null", r'"[0-9a-f]{64}\.zip"', "… under the hash of its bytes."),
    Known(
        "CloudFormation",
        OF_FUNCTION,
        FUNCTION + "Code/S3Bucket",
        "null",
        json.dumps(PACKAGE["PackageBucket"]),
        "CloudFormation takes the package from where the user put it.",
    ),
    Known(
        "CloudFormation", OF_FUNCTION, FUNCTION + "Code/S3Key", "null", json.dumps(PACKAGE["PackageKey"]), "… under its key."
    ),
    *(
        known
        for release, configurations in RELEASES.items()
        for known in (
            Known(
                "CloudFormation",
                configurations,
                FUNCTION + "Description",
                re.escape(as_json(DESCRIPTION)),
                re.escape(as_json(f"{DESCRIPTION} (release {release})")),
                "CloudFormation does not see that a package has changed: the release says so, and something of the "
                "function must change with it, or Lambda publishes no version.",
            ),
            Known(
                "CloudFormation",
                configurations,
                "AWS::Lambda::Version/newest Description",
                "null",
                re.escape(as_json(release)),
                "A new release makes a new version, as above.",
            ),
        )
    ),
    Known(
        "CloudFormation",
        where(lambda configuration: configuration.variant == "function" and "environment" in configuration.inputs),
        FUNCTION + "Environment/Variables/(FIRST|ISSUER)",
        '".+"',
        "null",
        "CloudFormation has no maps: no further environment variables.",
    ),
    Known(
        "CloudFormation",
        where(lambda configuration: configuration.variant == "service" and "environment" in configuration.inputs),
        r"AWS::ECS::TaskDefinition/\w+ ContainerDefinitions/0/Environment/(FIRST|ISSUER)",
        '".+"',
        "null",
        "… neither for the container.",
    ),
    Known(
        "CloudFormation",
        where(lambda configuration: "vpc_id" in configuration.inputs),
        r"AWS::EC2::SecurityGroup/\w+ SecurityGroupEgress/127\.0\.0\.1/32",
        "null",
        re.escape(as_json({"IpProtocol": "-1", "CidrIp": "127.0.0.1/32", "Description": "Nothing"})),
        "Its rules are resources of their own, and EC2 lets a group that has none at first reach everything.",
    ),
]


def unexplained(definition: str, configuration: str, terraform: Graph, other: Graph) -> list[str]:
    """A sentence for each difference that nothing explains, and for each explanation that explains nothing."""
    here = [known for known in KNOWN if known.is_about(definition, configuration)]
    found = differences(terraform, other)
    wrong = [str(difference) for difference in found if not any(known.explains(difference) for known in here)]
    wrong += [
        f"{known.place}: known.py explains a difference that is not there: {known.reason}"
        for known in here
        if not any(known.explains(difference) for difference in found)
    ]
    return [f"{definition}, {configuration}: {sentence}" for sentence in wrong]


NO_WAY_TO_WAIT = (
    "CloudFormation",
    "Its rules come of a loop over a parameter, and nothing can name what comes of one by `&{Cidr}`: DependsOn takes "
    "texts, and a reference is refused (aws-cloudformation/cfn-language-discussion, issue 162). They wait for the group "
    "alone, and take seconds: the roles of tasks, and a function's network interfaces, take longer.",
)
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
    Order(
        "AWS::Lambda::Function/*",
        "AWS::EC2::SecurityGroup/*#SecurityGroupEgress",
        "Its first call may come at once, and reaches nobody.",
        NO_WAY_TO_WAIT,
    ),
    Order(
        "AWS::EC2::SecurityGroup/*",
        "AWS::IAM::Role/*-function#Policies",
        "Lambda takes its network interfaces away as this role, and only without them can the group be deleted.",
    ),
    Order("AWS::Lambda::Version/*", "AWS::Lambda::Function/*", "It is a version of the function."),
    Order("AWS::Lambda::Alias/*", "AWS::Lambda::Function/*", "It is an alias of the function."),
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
    Order("AWS::ECS::Service/*", "AWS::ECS::Cluster/*", "It is a service of the cluster."),
    Order("AWS::ECS::Service/*", "AWS::Logs::LogGroup//ecs/*", "A task starts only where it can write its log."),
    Order(
        "AWS::ECS::Service/*",
        "AWS::EC2::SecurityGroup/*#SecurityGroupEgress",
        "A task that cannot reach its image does not start, and after some the deployment has failed.",
        NO_WAY_TO_WAIT,
    ),
    Order(
        "AWS::ECS::Service/*",
        "AWS::EC2::SecurityGroup/*#SecurityGroupIngress",
        "A task that the load balancer cannot reach is stopped.",
    ),
]


# How Terraform replaces a resource, and what it overlooks: nothing but this, of each variant. A plan does not show it.
LIFECYCLES: dict[str, dict[str, dict[str, Any]]] = {
    "function": {
        # EC2 deletes no group that is in use.
        "aws_security_group.function": {"create_before_destroy": True},
        # Elastic Load Balancing deletes no group that a rule forwards to.
        "aws_lb_listener_rule.this": {"replace_triggered_by": ["aws_lb_target_group.this[0].arn"]},
        # A stage has a deployment at each moment.
        "aws_api_gateway_rest_api.this": {"create_before_destroy": True},
        "aws_api_gateway_deployment.this": {"create_before_destroy": True},
    },
    "service": {
        "aws_security_group.this": {"create_before_destroy": True},
        "aws_lb_listener_rule.this": {"replace_triggered_by": ["aws_lb_target_group.this.arn"]},
    },
}


def lifecycle_differences(variant: str, module: Module) -> Iterator[str]:
    """A sentence for each resource of Terraform's that is not replaced as it must be."""
    for address in sorted({*module.lifecycles, *LIFECYCLES[variant]}):
        expected, found = LIFECYCLES[variant].get(address), module.lifecycles.get(address)
        if found != expected:
            yield f"Terraform, {variant}, lifecycle of {address}: expected {expected}, and it is {found}"
