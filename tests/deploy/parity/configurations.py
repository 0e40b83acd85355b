"""Owns the configurations in which the definitions are compared, in Terraform's and CDK's words, and CloudFormation's
words for them.

In comes nothing; out go inputs by name. Together they turn every condition of every definition both ways.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from .kinds import ACCOUNT, pascal

LISTENER = f"arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT}:listener/app/shared/50dc6c495c0c9188/f2f7dc8efc522ab2"
WEB_ACL = f"arn:aws:wafv2:us-east-1:{ACCOUNT}:regional/webacl/mcp/473e64fd-f30b-4765-81a0-62ad96dd167a"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
SECRETS = [f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:{name}" for name in ("jwt-AbCdEf", "client-GhIjKl")]
TOPICS = [f"arn:aws:sns:us-east-1:{ACCOUNT}:{name}" for name in ("alarms", "pager")]
ROLES = [f"arn:aws:iam::{ACCOUNT}:role/QuiltReader", "arn:aws:iam::210987654321:role/team/QuiltWriter"]
REPOSITORY = f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/rolecall"
# What CloudFormation cannot be given: it has no maps, and its tags are the stack's own.
MAPS = {"environment", "tags"}
NOT_IN_CLOUDFORMATION = MAPS | {"package_path"}
PACKAGE_BYTES = b"no package: nothing is deployed"
PACKAGE = {"PackageBucket": "packages", "PackageKey": "bootstrap.zip"}


@dataclass(frozen=True)
class Configuration:
    """One configuration of a variant: `function` (Lambda) or `service` (ECS). A package's path comes to it later. The
    release, where one is given, is CloudFormation's alone."""

    variant: str
    inputs: dict[str, Any] = field(default_factory=dict)
    release: str = ""

    def parameters(self) -> dict[str, str]:
        """CloudFormation's parameters."""
        given = {pascal(name): text(value) for name, value in self.inputs.items() if name not in NOT_IN_CLOUDFORMATION}
        given |= {"Release": self.release} if self.release else {}
        return given | PACKAGE if self.variant == "function" else given

    def stack_tags(self) -> dict[str, str]:
        """The tags that CloudFormation's user gives to the stack."""
        return self.inputs.get("tags", {})


def text(value: Any) -> str:
    """An input's value as a parameter's."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(text, value)) if isinstance(value, (list, tuple)) else str(value)


DOCUMENT = json.dumps({"auth": {"issuers": [{"issuer": "https://idp.example.com", "jwks": "discover"}]}})
FUNCTION = {"configuration": DOCUMENT}
SERVICE = {
    "configuration": DOCUMENT,
    "image": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/rolecall:0.1.0",
    "alb_listener_arn": LISTENER,
    "alb_security_group_id": "sg-0a1b2c3d",
    "vpc_id": "vpc-0a1b2c3d",
    "private_subnet_ids": ["subnet-0a1b2c3d"],
}
COMMON = {
    "name": "tools",
    "public_url": "https://mcp.example.com/tools",
    "architecture": "x86_64",
    "egress_cidr_blocks": ["10.0.0.0/8", "192.0.2.1/32"],
    "secret_arns": SECRETS,
    "secret_kms_key_arns": [KEY],
    "assumable_role_arns": ROLES,
    "external_id": "quilt-42",
    "environment": {"ISSUER": "https://idp.example.com", "FIRST": "1"},
    "tags": {"team": "data", "cost-center": "7"},
    "log_retention_in_days": 365,
    "kms_key_arn": KEY,
}

CONFIGURATIONS = {
    "minimal": Configuration("function", FUNCTION),
    "vpc": Configuration(
        "function",
        FUNCTION
        | {
            # Of a load balancer, and so nothing here.
            "listener_host": "tools.example.com",
            "function_version": "3",
            "vpc_id": "vpc-0a1b2c3d",
            "private_subnet_ids": ["subnet-0a1b2c3d", "subnet-4e5f6a7b"],
            "egress_cidr_blocks": ["10.0.0.0/8", "192.0.2.0/24", "198.51.100.7/32"],
            "enable_xray": False,
        },
        release="2026-11-20",
    ),
    "alb": Configuration(
        "function",
        FUNCTION
        | {
            "front_door": "alb",
            "alb_listener_arn": LISTENER,
            "listener_host": "tools.example.com",
            "listener_base_path": "/rolecall/v1",
            "listener_priority": 1099,
            "timeout_seconds": 60,
        },
    ),
    "alb for any host": Configuration(
        "function",
        FUNCTION
        | {
            "front_door": "alb",
            "alb_listener_arn": LISTENER,
            "public_url": "https://mcp.example.com",
            "listener_priority": 9,
            "reserved_concurrency": 0,
            "vpc_id": "vpc-0a1b2c3d",
            "private_subnet_ids": ["subnet-0a1b2c3d"],
            "enable_vault_table": True,
            "alarm_topic_arns": [TOPICS[0]],
        },
    ),
    "rest_api streaming with WAF": Configuration(
        "function",
        FUNCTION
        | {
            "front_door": "rest_api",
            "web_acl_arn": WEB_ACL,
            "timeout_seconds": 900,
            "enable_xray": False,
            "enable_vault_table": True,
            "enable_deletion_protection": False,
        },
    ),
    "function_url": Configuration("function", FUNCTION | {"front_door": "function_url", "provisioned_concurrency": 1}),
    "function_url with a public URL": Configuration(
        "function",
        FUNCTION
        | {
            "front_door": "function_url",
            "public_url": "https://mcp.example.com",
            "secret_arns": SECRETS,
            "alarm_topic_arns": [TOPICS[0]],
        },
    ),
    "everything": Configuration(
        "function",
        FUNCTION
        | COMMON
        | {
            "front_door": "rest_api",
            "web_acl_arn": WEB_ACL,
            "memory_size": 1024,
            "timeout_seconds": 300,
            "reserved_concurrency": 50,
            "provisioned_concurrency": 2,
            "function_version": "7",
            "vpc_id": "vpc-0a1b2c3d",
            "private_subnet_ids": ["subnet-0a1b2c3d", "subnet-4e5f6a7b"],
            "enable_vault_table": True,
            "alarm_topic_arns": TOPICS,
        },
    ),
    "everything behind http_api": Configuration("function", FUNCTION | COMMON | {"front_door": "http_api"}),
    "ecs minimal": Configuration("service", SERVICE | {"listener_host": "tools.example.com"}),
    "ecs below a path": Configuration(
        "service",
        SERVICE | {"listener_host": "tools.example.com", "listener_base_path": "/tools", "secret_arns": SECRETS},
    ),
    "ecs everything": Configuration(
        "service",
        SERVICE
        | COMMON
        | {
            "listener_host": "tools.example.com",
            "listener_base_path": "/tools",
            "listener_priority": 49999,
            "cpu": 1024,
            "memory": 2048,
            "desired_count": 0,
            "private_subnet_ids": ["subnet-0a1b2c3d", "subnet-4e5f6a7b"],
            "ecr_repository_arn": REPOSITORY,
            "enable_execute_command": True,
        },
    ),
    "ecs exec only": Configuration(
        "service", SERVICE | {"public_url": "https://mcp.example.com", "enable_execute_command": True}
    ),
}  # fmt: skip
