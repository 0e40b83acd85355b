"""What the tests ask: templates of constructs, made in this one process, since CDK's own takes seconds to start.

In come inputs; out come templates in which every reference is a text such as `${Function.Arn}`, so that a test can say
exactly what it expects.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from aws_cdk import App, Stack  # noqa: E402
from aws_cdk.assertions import Template  # noqa: E402

from rolecall_cdk import Rolecall, RolecallInputs, RolecallService, RolecallServiceInputs  # noqa: E402

ACCOUNT = "arn:aws:{}:us-east-1:111122223333:{}"
SECRET = ACCOUNT.format("secretsmanager", "secret:jwt-AbCdEf")
SECRET_KEY = ACCOUNT.format("kms", "key/01234567-89ab-cdef-0123-456789abcde0")
KEY = ACCOUNT.format("kms", "key/01234567-89ab-cdef-0123-456789abcdef")
TOPIC = ACCOUNT.format("sns", "alarms")
LISTENER = ACCOUNT.format("elasticloadbalancing", "listener/app/shared/0123456789abcdef/fedcba9876543210")
WEB_ACL = ACCOUNT.format("wafv2", "regional/webacl/rolecall/0123abcd-0123")
REPOSITORY = ACCOUNT.format("ecr", "repository/rolecall")
ROLE = "arn:aws:iam::111122223333:role/QuiltReader"

CONFIGURATION = {"configuration": '{"roles":{}}'}
ALB = {"front_door": "alb", "alb_listener_arn": LISTENER, "listener_host": "mcp.example.com"}
VPC = {
    "vpc_id": "vpc-0123456789abcdef0",
    "private_subnet_ids": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
}
SERVICE = {
    **CONFIGURATION,
    **VPC,
    "image": "registry.example.com:5000/rolecall:1.0",
    "alb_listener_arn": LISTENER,
    "alb_security_group_id": "sg-0123456789abcdef0",
    "listener_host": "mcp.example.com",
}

Resources = dict[str, dict[str, Any]]


def readable(value: Any) -> Any:
    """A part of a template, with each reference and each text that has some as one text."""
    if isinstance(value, list):
        return [readable(member) for member in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case {"Fn::Join": [separator, members]}:
            return separator.join(map(readable, members))
        case {"Fn::Select": [index, {"Fn::Split": [separator, text]}]}:
            return f"${{{readable(text)} by {separator} at {index}}}"
        case {"Fn::Sub": text}:
            return text
    return {name: readable(member) for name, member in value.items()}


def synthesise(construct: type, inputs: Any) -> dict[str, Any]:
    """The template of a stack with one deployment."""
    stack = Stack(App(), "Test")
    construct(stack, "Default", inputs)
    return readable(Template.from_stack(stack).to_json())


def properties(template: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The properties of all resources of a type, in their order."""
    return [resource["Properties"] for resource in template["Resources"].values() if resource["Type"] == kind]


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package as `make package` makes it, but for what is in it."""
    path = tmp_path_factory.mktemp("package") / "bootstrap.zip"
    with zipfile.ZipFile(path, "w") as zip_file:
        zip_file.writestr("bootstrap", "one")
    return path


@pytest.fixture(scope="session")
def function(package: Path) -> Callable[..., dict[str, Any]]:
    """The template of the Lambda variant with some inputs."""
    return lambda **given: synthesise(
        Rolecall, RolecallInputs(**{"package_path": str(package), **CONFIGURATION, **given})
    )


@pytest.fixture(scope="session")
def service() -> Callable[..., dict[str, Any]]:
    """The template of the ECS variant with some inputs."""
    return lambda **given: synthesise(RolecallService, RolecallServiceInputs(**{**SERVICE, **given}))
