"""The inputs' rules: what each refuses, in its words; and what stands at the edge and is taken."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import CfnParameter, Fn, Stack
from conftest import ALB, CONFIGURATION, KEY, LISTENER, SERVICE, VPC, WEB_ACL

from rolecall_cdk import RolecallInputs, RolecallServiceInputs

ROOT = Path(__file__).resolve().parents[2]
FUNCTION = {"package_path": str(ROOT / "infra/tests/bootstrap.zip"), **CONFIGURATION}
NAME = "A name must be 2 to 32 characters of a-z, 0-9 and '-', begin with a letter but not with sg-, and not end with '-'."
CONFIGURATION_SENTENCE = "The configuration must be a JSON object of at most 3500 characters."
NO_SECRET = 'The configuration must hold no secret: hs256 and clientSecret must be {"$secret": "ARN"}.'
PUBLIC_URL = "A public URL must begin with https://, have its host in lower case, and not end with '/' or '/mcp'."
ZIP = "A package must be a file that ends in .zip, as `make package` makes it."
NO_PACKAGE = "There is no package at {value}: `make package` makes it."
OTHER_ARCHITECTURE = (
    "The package's path names the other architecture: architecture must be the one that the package was built for."
)
ARCHITECTURE = "The architecture must be arm64 or x86_64."
LISTENER_SENTENCE = "A listener must be given by the full ARN of an application load balancer's listener."
PRIORITY = "A listener priority must be a whole number from 1 to 49999."
HOST = "A listener host must be a host name in lower case, without wildcards."
BASE_PATH = "A base path must be empty, or begin with '/', not end with it or '/mcp', and have at most 80 characters."
VPC_SENTENCE = "A VPC must be given by its id, such as vpc-0123456789abcdef0."
SUBNET = "A subnet must be given by its id, such as subnet-0123456789abcdef0."
ENVIRONMENT_SIZE = (
    "Lambda measures the environment as JSON, where each quotation mark of a value is two bytes: configuration, public"
    " URL, external id and environment may take 3798 bytes."
)
FARGATE = (
    "Fargate has no task of this CPU and memory: 256 units go with 512, 1024 or 2048 MiB, 512 with 1 to 4 GiB, 1024"
    " with 2 to 8, 2048 with 4 to 16, and 4096 with 8 to 30, in whole GiB."
)
TOGETHER = "A VPC and its subnets must be given together."
EGRESS = "Egress must be given as IPv4 CIDR blocks, at least one."
SECRET = "A secret must be given by its full Secrets Manager ARN, with the six characters that AWS adds, without wildcards."
KMS_KEY = "A KMS key must be given by its full key ARN."
ROLE = "A role must be given by its full ARN, without wildcards."
EXTERNAL_ID = "An external id must be 2 to 1224 characters of A-Z, a-z, 0-9 and '+=,.@:/_-'."
ENVIRONMENT = "Names of variables must be of A-Z, a-z, 0-9 and '_', and not begin with ROLECALL_."
RETENTION = (
    "The log retention must be a number of days that CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180,"
    " 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
)
MEMORY_SIZE = "The memory size must be a whole number of MiB from 128 to 10240."
TIMEOUT = "The timeout must be a whole number of seconds from 1 to 900."
HTTP_TIMEOUT = "An HTTP API waits 30 seconds at most: the timeout must be 30 or less."
RESERVED = "The reserved concurrency must be -1 or a whole number from 0."
PROVISIONED = "The provisioned concurrency must be a whole number from 0."
VERSION = "A function version must be a number, such as 7."
FRONT_DOOR = "The front door must be http_api, rest_api, alb or function_url."
NEEDS_LISTENER = "The front door alb needs the ARN of a listener."
NEEDS_HOST = "The front door alb needs a listener host or a public URL, by which clients reach it."
WEB_ACL_SENTENCE = "A web ACL must be given by the full ARN of a regional WAFv2 web ACL."
WEB_ACL_DOOR = "A web ACL can stand before the front door rest_api only."
TOPIC = "An alarm topic must be given by its full SNS ARN."
IMAGE = "An image must be given with a tag or a digest."
CPU = "The CPU must be 256, 512, 1024, 2048 or 4096 units."
MEMORY = "The memory must be a whole number of MiB from 512 to 30720."
COUNT = "The desired count must be a whole number from 0."
SECURITY_GROUP = "A security group must be given by its id, such as sg-0123456789abcdef0."
REPOSITORY = "An ECR repository must be given by its full ARN."

ARN = "arn:aws:{}:us-east-1:111122223333:{}"
SHARED_MISTAKES = [
    ("name", ["", "r", "Rolecall", "1call", "roll-", "a" * 33, "role call", "rolecall\n", "sg-a", None, 7], NAME),
    ("configuration", ["", "[]", "{", '{"a":NaN}', "{" + " " * 3500 + "}", None, {}], CONFIGURATION_SENTENCE),
    ("configuration", ['{"a":' + "[" * 1700 + "]" * 1700 + "}"], CONFIGURATION_SENTENCE),
    (
        "configuration",
        [
            '{"auth":{"issuers":[{"hs256":"text"}]}}',
            '{"auth":{"issuers":[{"hs256":{"$env":"JWT"}}]}}',
            '{"auth":{"issuers":[{"\\u0068s256" : {"$secret":"text"}}]}}',
            '{"auth":{"issuers":[{"introspection":{"clientSecret":"text"}}]}}',
        ],
        NO_SECRET,
    ),
    ("public_url", ["http://a.example", "https://a.example/", "https://A.example", "https://", ""], PUBLIC_URL),
    ("public_url", ["https://a.example/mcp", "https://a.example/tools/mcp"], PUBLIC_URL),
    ("architecture", ["arm", "ARM64", None], ARCHITECTURE),
    ("alb_listener_arn", ["listener", LISTENER + "/", LISTENER.replace("/app/", "/net/")], LISTENER_SENTENCE),
    ("listener_priority", [0, 50000, 1.5, "100", True, None], PRIORITY),
    ("listener_host", ["*.example.com", "MCP.example.com", ""], HOST),
    ("listener_base_path", ["tools", "/tools/", "/", "/to ols", "/mcp", "/a/mcp", "/" + "a" * 80, None], BASE_PATH),
    ("vpc_id", ["", "vpc-", "vpc-XYZ", "subnet-0123456789abcdef0"], VPC_SENTENCE),
    (
        "private_subnet_ids",
        [["subnet-0123456789abcdef0", "vpc-0123456789abcdef0"], "subnet-0123456789abcdef0", [None], None],
        SUBNET,
    ),
    ("egress_cidr_blocks", [[], ["10.0.0.0"], ["256.0.0.0/8"], ["10.0.0.0/33"], ["010.0.0.0/8"], ["::/0"]], EGRESS),
    (
        "secret_arns",
        [
            ["jwt"],
            [ARN.format("secretsmanager", "secret:jwt")],
            [ARN.format("secretsmanager", "secret:*")],
            [ARN.format("ssm", "secret:a-AbCdEf")],
        ],
        SECRET,
    ),
    ("secret_kms_key_arns", [[ARN.format("kms", "alias/a")], ["0123abcd"], KEY], KMS_KEY),
    ("assumable_role_arns", [["arn:aws:iam::111122223333:role/Quilt*"], ["arn:aws:iam::1:role/A"], ["Quilt"]], ROLE),
    ("external_id", ["a", "a" * 1225, "a b", ""], EXTERNAL_ID),
    ("environment", [{"ROLECALL_CONFIG": "a"}, {"1A": "a"}, {"A-B": "a"}, {"A": "a"}, {"AB": 1}, []], ENVIRONMENT),
    ("tags", [{"team": 1}, ["team"], None], "It must be a map of texts."),
    ("log_retention_in_days", [0, 2, 31, "30", 30.0, None], RETENTION),
    ("kms_key_arn", [ARN.format("kms", "alias/a"), ""], KMS_KEY),
]
FUNCTION_MISTAKES = [
    *SHARED_MISTAKES,
    ("package_path", [None, 7], "It must be a text."),
    ("package_path", ["", __file__, "bootstrap.zip/"], ZIP),
    ("package_path", ["absent.zip"], NO_PACKAGE.replace("{value}", "absent.zip")),
    ("memory_size", [127, 10241, 256.5, "256", None], MEMORY_SIZE),
    ("timeout_seconds", [0, 901, 1.5, "30", None], TIMEOUT),
    ("reserved_concurrency", [-2, 0.5, None], RESERVED),
    ("provisioned_concurrency", [-1, 0.5, None], PROVISIONED),
    ("function_version", ["0", "$LATEST", "07", "", 7], VERSION),
    ("front_door", ["http-api", "", None], FRONT_DOOR),
    ("web_acl_arn", ["acl", WEB_ACL.replace("regional", "global"), ""], WEB_ACL_SENTENCE),
    ("enable_xray", ["true", 1, None], "It must be true or false."),
    ("enable_vault_table", ["true", 1, None], "It must be true or false."),
    ("enable_deletion_protection", ["no", 0, None], "It must be true or false."),
    ("alarm_topic_arns", [["alarms"], [ARN.format("sqs", "alarms")]], TOPIC),
]
SERVICE_MISTAKES = [
    *SHARED_MISTAKES,
    ("alb_listener_arn", [None], LISTENER_SENTENCE),
    ("vpc_id", [None], VPC_SENTENCE),
    ("private_subnet_ids", [[]], TOGETHER),
    ("image", ["rolecall", "rolecall:", "role call:1", "rolecall@sha256:12", "a.example:5000/rolecall", None], IMAGE),
    ("cpu", [128, 300, "256", 256.0, None], CPU),
    ("memory", [511, 30721, 512.5, None], MEMORY),
    ("desired_count", [-1, 1.5, None], COUNT),
    ("alb_security_group_id", ["sg-", "vpc-0123456789abcdef0", None], SECURITY_GROUP),
    ("ecr_repository_arn", ["rolecall", ARN.format("ecr", "repository/Rolecall")], REPOSITORY),
    ("enable_execute_command", ["false", 0, None], "It must be true or false."),
]


def mistakes(kind: type, given: dict[str, Any]) -> list[str]:
    """What is said of inputs."""
    try:
        kind(**given)
    except ValueError as error:
        return str(error).splitlines()
    return []


def flat(table: list[tuple[str, list[Any], str]]) -> list[tuple[str, Any, str]]:
    """A case for each value."""
    return [(name, value, sentence) for name, values, sentence in table for value in values]


@pytest.mark.parametrize(("name", "value", "sentence"), flat(FUNCTION_MISTAKES))
def test_the_function_refuses(name: str, value: Any, sentence: str) -> None:
    assert mistakes(RolecallInputs, FUNCTION | {name: value}) == [f"{name}: {sentence}"]


@pytest.mark.parametrize(("name", "value", "sentence"), flat(SERVICE_MISTAKES))
def test_the_service_refuses(name: str, value: Any, sentence: str) -> None:
    assert mistakes(RolecallServiceInputs, SERVICE | {name: value}) == [f"{name}: {sentence}"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"timeout_seconds": 31}, HTTP_TIMEOUT),
        (ALB | {"alb_listener_arn": None}, NEEDS_LISTENER),
        (ALB | {"listener_host": None}, NEEDS_HOST),
        ({"web_acl_arn": WEB_ACL}, WEB_ACL_DOOR),
        (VPC | {"private_subnet_ids": []}, TOGETHER),
        (VPC | {"vpc_id": None}, TOGETHER),
        # As Lambda measures it, the first is 4500 bytes.
        ({"configuration": json.dumps({"a": [""] * 900}, separators=(",", ":"))}, ENVIRONMENT_SIZE),
        ({"environment": {"AB": "x" * 3750}}, ENVIRONMENT_SIZE),
        ({"environment": {"AB": "ä" * 1900}}, ENVIRONMENT_SIZE),
    ],
)
def test_inputs_must_go_together(given: dict[str, Any], sentence: str) -> None:
    assert mistakes(RolecallInputs, FUNCTION | given) == [sentence]


@pytest.mark.parametrize(
    ("cpu", "least", "most"),
    [(256, 512, 2048), (512, 1024, 4096), (1024, 2048, 8192), (2048, 4096, 16384), (4096, 8192, 30720)],
)
def test_cpu_and_memory_are_what_fargate_has(cpu: int, least: int, most: int) -> None:
    def said(memory: int) -> list[str]:
        return mistakes(RolecallServiceInputs, SERVICE | {"cpu": cpu, "memory": memory})

    assert said(least) == said(most) == []
    assert said(least + 1) == said(most + 1024 if most < 30720 else 7168) == [FARGATE]


@pytest.mark.parametrize(
    ("folder", "named"),
    [("arm64", "arm64"), ("x86_64", "x86_64"), ("arm64/target/x86_64", "x86_64"), ("x86_64/arm64/a", "arm64")],
)
def test_a_package_is_for_the_architecture_that_its_last_folder_names(tmp_path: Path, folder: str, named: str) -> None:
    package = tmp_path / folder / "bootstrap.zip"
    package.parent.mkdir(parents=True)
    package.write_bytes(b"")
    for architecture in ("arm64", "x86_64"):
        given = {"package_path": str(package), "architecture": architecture}
        expected = [] if architecture == named else [OTHER_ARCHITECTURE]
        assert mistakes(RolecallInputs, FUNCTION | given) == expected


def test_a_service_needs_a_name_by_which_it_is_called() -> None:
    assert mistakes(RolecallServiceInputs, SERVICE | {"listener_host": None}) == [NEEDS_HOST]
    assert not mistakes(RolecallServiceInputs, SERVICE | {"listener_host": None, "public_url": "https://a.example"})


def test_all_mistakes_are_told_at_once() -> None:
    given = {
        "name": "-",
        "memory_size": 1,
        "secret_arns": ["*"],
        "timeout_seconds": 0,
        "vpc_id": "vpc-0123456789abcdef0",
    }
    # That the timeout is too long for an HTTP API is nothing to say of one that is none.
    assert mistakes(RolecallInputs, FUNCTION | given) == [
        f"name: {NAME}",
        f"secret_arns: {SECRET}",
        f"memory_size: {MEMORY_SIZE}",
        f"timeout_seconds: {TIMEOUT}",
        TOGETHER,
    ]


@pytest.mark.parametrize(
    "given",
    [
        {"name": "ab"},
        {"name": "a" * 32},
        {"configuration": "{" + " " * 3498 + "}"},
        {"configuration": '{"auth":{"issuers":[{"hs256" : {"key":"k", "$secret":"arn:aws:secretsmanager:…"}}]}}'},
        {"public_url": "https://a.example:8443/mcp/b.c~d"},
        {"timeout_seconds": 1, "memory_size": 128, "reserved_concurrency": 0},
        {"front_door": "rest_api", "timeout_seconds": 900, "memory_size": 10240, "web_acl_arn": WEB_ACL},
        {"listener_priority": 49999, "listener_base_path": "/a/b"},
        {"egress_cidr_blocks": ("0.0.0.0/0", "255.255.255.255/32")},
        {"external_id": "a" * 1224},
        {"log_retention_in_days": 3653},
        {"environment": {"A1": "", "A_": "", "rolecall_x": "1"}},
        {"secret_arns": ["arn:aws-us-gov:secretsmanager:us-gov-west-1:111122223333:secret:a/b_c+d=e.f@g!h-AbCdEf"]},
        {"assumable_role_arns": ["arn:aws:iam::111122223333:role/path/to/A+=,.@_-"]},
        ALB | {"listener_host": None, "public_url": "https://a.example"},
    ],
)
def test_what_stands_at_the_edge_is_taken(given: dict[str, Any]) -> None:
    assert mistakes(RolecallInputs, FUNCTION | given) == []


@pytest.mark.parametrize("image", ["rolecall:1", "a.example:5000/b/rolecall:v1.0_x", "rolecall@sha256:" + "0a" * 32])
def test_an_image_has_a_tag_or_a_digest(image: str) -> None:
    given = {"image": image, "desired_count": 0, "cpu": 4096, "memory": 30720}
    assert mistakes(RolecallServiceInputs, SERVICE | given) == []


def test_what_is_known_only_at_deployment_is_taken() -> None:
    secret = CfnParameter(Stack(), "Secret").value_as_string
    assert mistakes(RolecallInputs, FUNCTION | {"secret_arns": [secret], "kms_key_arn": Fn.import_value("key")}) == []
    for configuration in (secret, json.dumps({"auth": {"issuers": [{"hs256": {"$secret": secret}}]}})):
        assert mistakes(RolecallInputs, FUNCTION | {"configuration": configuration}) == []


def test_a_secret_beside_what_is_known_only_at_deployment_is_refused() -> None:
    issuer = CfnParameter(Stack(), "Issuer").value_as_string
    configuration = json.dumps({"auth": {"issuers": [{"issuer": issuer, "hs256": "text"}]}})
    assert mistakes(RolecallInputs, FUNCTION | {"configuration": configuration}) == [f"configuration: {NO_SECRET}"]


def test_every_input_has_a_description_and_a_rule() -> None:
    for kind in (RolecallInputs, RolecallServiceInputs):
        for field in fields(kind):
            assert field.metadata["description"].endswith("."), field.name
            assert field.metadata["rules"], field.name
        required = {field.name for field in fields(kind) if field.default is field.default_factory is MISSING}
        assert required == (
            {"package_path", "configuration"} if kind is RolecallInputs else SERVICE.keys() - {"listener_host"}
        )


def test_every_rule_is_tried() -> None:
    for kind, table in ((RolecallInputs, FUNCTION_MISTAKES), (RolecallServiceInputs, SERVICE_MISTAKES)):
        tried = {sentence for _, _, sentence in table}
        for field in fields(kind):
            for rule in field.metadata["rules"]:
                assert rule.sentence.replace("{value}", "absent.zip") in tried
