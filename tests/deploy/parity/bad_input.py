"""Owns the table of bad input: for each rule values that break it, with the sentence that refuses them, and good
values at its edges.

In come the definitions; out goes a sentence for each value that one of them takes and should not, or refuses and should
not, or refuses in other words. Nothing is made: Terraform refuses in its plan, CDK as the inputs are constructed,
CloudFormation as the parameters are checked.
"""

import contextlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from types import ModuleType
from typing import Any, Iterator

from . import cloudformation, plans
from .configurations import (
    FUNCTION,
    KEY,
    LISTENER,
    NOT_IN_CLOUDFORMATION,
    ROLES,
    REPOSITORY,
    SECRETS,
    SERVICE,
    TOPICS,
    WEB_ACL,
    Configuration,
)
from .inputs import JOINED
from .kinds import ACCOUNT

BOTH = ("function", "service")
ONLY_FUNCTION = ("function",)
ONLY_SERVICE = ("service",)


@dataclass(frozen=True)
class Rule:
    """A rule: the sentence that it refuses with, the input, values that it refuses and takes, and where it holds."""

    sentence: str
    input: str
    bad: tuple[Any, ...]
    good: tuple[Any, ...] = ()
    variants: tuple[str, ...] = BOTH


@dataclass(frozen=True)
class Case:
    """Inputs that differ from good ones, the only sentence that they are refused with, or none, and the one input that
    it is about, if there is one."""

    variant: str
    inputs: dict[str, Any]
    sentence: str | None
    about: str = ""

    def __str__(self) -> str:
        base = BASE[self.variant]
        given = {name: value for name, value in self.inputs.items() if base.get(name, ...) != value}
        return f"{self.variant} with {json.dumps(given)[:200]}"

    def all_inputs(self) -> dict[str, Any]:
        """The inputs that Terraform and CDK are given."""
        return ({"package_path": "bootstrap.zip"} if self.variant == "function" else {}) | self.inputs


BASE = {"function": FUNCTION, "service": SERVICE | {"listener_host": "tools.example.com"}}
# What must be given with an input, so that only its own rule is broken.
WITH: dict[tuple[str, str], dict[str, Any]] = {
    ("function", "alb_listener_arn"): {"front_door": "alb", "listener_host": "tools.example.com"},
    ("function", "listener_host"): {
        "front_door": "alb",
        "alb_listener_arn": LISTENER,
        "public_url": "https://a.example",
    },
    ("service", "listener_host"): {"public_url": "https://a.example"},
    ("function", "timeout_seconds"): {"front_door": "rest_api"},
    ("function", "web_acl_arn"): {"front_door": "rest_api"},
    ("function", "vpc_id"): {"private_subnet_ids": ["subnet-0a1b2c3d"]},
    ("function", "private_subnet_ids"): {"vpc_id": "vpc-0a1b2c3d"},
    ("service", "cpu"): {"memory": 2048},
    ("function", "egress_cidr_blocks"): {"vpc_id": "vpc-0a1b2c3d", "private_subnet_ids": ["subnet-0a1b2c3d"]},
}


def wrong_arns(good: str) -> tuple[str, ...]:
    """A good ARN, of which each part that all ARNs have is wrong in turn."""
    other_region = good.replace("::", ":us-east-1:") if "::" in good else good.replace(":us-east-1:", "::")
    short, long = (good.replace(ACCOUNT, account) for account in (ACCOUNT[1:], f"{ACCOUNT}9"))
    return (good.replace("arn:aws:", "arn:azure:"), other_region, short, long)


KMS_SENTENCE = "A KMS key must be given by its full key ARN."
BAD_KEYS = (
    "1234abcd-12ab-34cd-56ef-1234567890ab",
    "alias/mine",
    f"arn:aws:kms:us-east-1:{ACCOUNT}:alias/mine",
    f"arn:aws:kms:us-east-1:{ACCOUNT}:key/*",
    f"{KEY}:1",
    *wrong_arns(KEY),
)
RETENTION = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)


def one_each(values: tuple[str, ...], good: str) -> tuple[list[str], ...]:
    """Lists with one bad member: alone, and beside a good one."""
    return tuple([value] for value in values) + ([good, values[0]], [values[0], good])


def issuers(*members: Any) -> str:
    """A configuration with these issuers."""
    return json.dumps({"auth": {"issuers": members}})


STORED = {"$secret": SECRETS[0]}
JSON_OBJECT, NO_SECRET = JOINED
RULES = [
    Rule(
        "A name must be 2 to 32 characters of a-z, 0-9 and '-', begin with a letter but not with sg-, and not end with '-'.",
        "name",
        ("", "a", "a" * 33, "1ab", "-ab", "ab-", "Ab", "a_b", "a b", "ab\n", "ä-b", "sg-a"),
        ("ab", "a" * 32, "a-1", "r2", "sga", "s-g"),
    ),
    Rule(
        JSON_OBJECT,
        "configuration",
        ("", "rolecall.json", "[]", '"{}"', "{", '{"a":"%s"}' % ("x" * 3493)),
        ("{}", ' {"a": 1}\n', '{"a":"%s"}' % ("x" * 3492), '{"a":"${b}%{c}"}'),
    ),
    Rule(
        NO_SECRET,
        "configuration",
        (
            issuers({"hs256": "text"}),
            issuers({"hs256": {"$env": "JWT"}}),
            issuers({"hs256": {"$secret": "text"}}),
            issuers({"hs256": {"key": "text"}}),
            issuers({"hs256": ["text"]}),
            issuers({"introspection": {"clientSecret": "text"}}),
            issuers({"introspection": {"clientId": "a", "clientSecret": {"$env": "CLIENT"}}}),
            issuers({"hs256": STORED}, {"introspection": {"clientSecret": "text"}}),
            issuers({"introspection": {"clientSecret": STORED}}, {"hs256": "text"}),
            '{"auth":{"hs256":"text"}}',
            '{ "auth" : { "issuers" : [ { "hs256"\n:\t"text" } ] } }',
        ),
        (
            issuers({"hs256": STORED}),
            issuers({"hs256": STORED | {"key": "k"}}, {"introspection": {"clientSecret": {"key": "k"} | STORED}}),
            issuers({"hs256": {"$secret": {"$env": "ARN"}}}),
            json.dumps({"auth": {"issuers": [{"hs256": STORED}]}}, indent=2),
            issuers({"issuer": "hs256", "audience": 'clientSecret": "hs256": "'}),
        ),
    ),
    Rule(
        "A public URL must begin with https://, have its host in lower case, and not end with '/' or '/mcp'.",
        "public_url",
        (
            "mcp.example.com",
            "http://mcp.example.com",
            "https://",
            "https://mcp.example.com/",
            "https://MCP.example.com",
            "https://a/b/",
            "https://a//b",
            "https://a?b",
            "https://a#b",
            "https://u@a",
            "https://a:b",
            "https://a b",
            "https://a\n",
            "https://a/mcp",
            "https://a:8443/b/mcp",
            "https://a/mcp/",
        ),
        (
            None,
            "https://a",
            "https://mcp.example.com",
            "https://a:8443/x/y~z",
            "https://10.0.0.1",
            "https://a/mcps",
            "https://a/mcp/b",
            "https://a/b-mcp",
        ),
    ),
    Rule(
        "A package must be a file that ends in .zip, as `make package` makes it.",
        "package_path",
        ("", "bootstrap", "arm64", "arm64/", "bootstrap.zip/"),
        ("bootstrap.zip", "./arm64/bootstrap.zip", "x86_64/arm64/bootstrap.zip"),
        ONLY_FUNCTION,
    ),
    Rule(
        "There is no package at {value}: `make package` makes it.",
        "package_path",
        (".zip", "absent.zip", "absent/bootstrap.zip", "folder.zip"),
        (),
        ONLY_FUNCTION,
    ),
    Rule(
        "The architecture must be arm64 or x86_64.",
        "architecture",
        ("", "amd64", "ARM64", "arm64 "),
        ("arm64", "x86_64"),
    ),
    Rule(
        "The memory size must be a whole number of MiB from 128 to 10240.",
        "memory_size",
        (127, 10241, 0, -128, 256.5, 99999),
        (128, 129, 130, 199, 200, 999, 1000, 9999, 10000, 10199, 10200, 10239, 10240),
        ONLY_FUNCTION,
    ),
    Rule(
        "The timeout must be a whole number of seconds from 1 to 900.",
        "timeout_seconds",
        (0, -1, 901, 1.5, 1000),
        (1, 9, 10, 99, 100, 899, 900),
        ONLY_FUNCTION,
    ),
    Rule(
        "The reserved concurrency must be -1 or a whole number from 0.",
        "reserved_concurrency",
        (-2, 0.5, -1.5),
        (-1, 0, 1, 1000),
        ONLY_FUNCTION,
    ),
    Rule(
        "The provisioned concurrency must be a whole number from 0.",
        "provisioned_concurrency",
        (-1, 0.5),
        (0, 1, 100),
        ONLY_FUNCTION,
    ),
    Rule(
        "A function version must be a number, such as 7.",
        "function_version",
        ("$LATEST", "0", "07", "-1", "live", "7\n"),
        (None, "1", "10", "123"),
        ONLY_FUNCTION,
    ),
    Rule(
        "The front door must be http_api, rest_api, alb or function_url.",
        "front_door",
        ("", "HTTP_API", "http", "nlb"),
        ("http_api", "rest_api", "function_url"),
        ONLY_FUNCTION,
    ),
    Rule(
        "A listener must be given by the full ARN of an application load balancer's listener.",
        "alb_listener_arn",
        (
            "shared",
            LISTENER.replace("listener/app", "listener/net"),
            LISTENER.replace("listener/app", "listener-rule/app"),
            LISTENER.replace("listener/", "loadbalancer/").rsplit("/", 1)[0],
            LISTENER + "*",
            LISTENER + "/0",
            LISTENER + "\n",
            *wrong_arns(LISTENER),
        ),
        (LISTENER, LISTENER.replace("arn:aws", "arn:aws-us-gov").replace("us-east-1", "us-gov-west-1")),
    ),
    Rule(
        "A listener priority must be a whole number from 1 to 49999.",
        "listener_priority",
        (0, -1, 50000, 1.5, 100000),
        (1, 9, 10, 9999, 10000, 49999),
    ),
    Rule(
        "A listener host must be a host name in lower case, without wildcards.",
        "listener_host",
        ("*.example.com", "Tools.example.com", "a?b", "-a", ".a", "a/b", "a:443", "a b", "a\n"),
        ("a", "tools.example.com", "1.a-b"),
    ),
    Rule(
        "A base path must be empty, or begin with '/', not end with it or '/mcp', and have at most 80 characters.",
        "listener_base_path",
        ("/", "tools", "/tools/", "//tools", "/a//b", "/a b", "/*", "/a?b", "/a\n", "/mcp", "/a/mcp", "/" + "a" * 80),
        ("", "/tools", "/mcp/a", "/a-mcp", "/a/b.c_d~e-f", "/" + "a" * 79),
    ),
    Rule(
        "A web ACL must be given by the full ARN of a regional WAFv2 web ACL.",
        "web_acl_arn",
        (
            "mcp",
            WEB_ACL.replace("regional", "global"),
            WEB_ACL.replace("wafv2", "waf-regional"),
            WEB_ACL.replace("webacl", "rulegroup"),
            WEB_ACL.rsplit("/", 1)[0],
            WEB_ACL + "*",
            WEB_ACL + "\n",
            *wrong_arns(WEB_ACL),
        ),
        (None, WEB_ACL),
        ONLY_FUNCTION,
    ),
    Rule(
        "A VPC must be given by its id, such as vpc-0123456789abcdef0.",
        "vpc_id",
        ("main", "vpc-", "vpc-XYZ", "10.0.0.0/16", "vpc-0a1b2c3d,vpc-1", "vpc-0a1b2c3d\n"),
        ("vpc-0a1b2c3d", "vpc-0123456789abcdef0"),
    ),
    Rule(
        "A subnet must be given by its id, such as subnet-0123456789abcdef0.",
        "private_subnet_ids",
        one_each(("private-a", "subnet-", "subnet-XYZ", "vpc-0a1b2c3d"), "subnet-0a1b2c3d")
        + (["subnet-0a1b2c3d", ""],),
        (["subnet-0a1b2c3d"], ["subnet-0a1b2c3d", "subnet-0123456789abcdef0"]),
    ),
    Rule("A VPC and its subnets must be given together.", "private_subnet_ids", ([],), (), ONLY_SERVICE),
    Rule(
        "Egress must be given as IPv4 CIDR blocks, at least one.",
        "egress_cidr_blocks",
        one_each(
            (
                "everywhere",
                "10.0.0.0",
                "10.0.0.0/33",
                "10.0.0/8",
                "256.0.0.0/8",
                "10.0.0.0/08",
                "010.0.0.0/8",
                "::/0",
                "10.0.0.0/-1",
                "10.0.0.0/8 or 9",
            ),
            "10.0.0.0/8",
        )
        + ([], ["10.0.0.0/8", ""]),
        (["0.0.0.0/0"], ["255.249.199.99/32"], ["10.0.0.0/8", "1.2.3.4/9", "192.0.2.0/29"]),
    ),
    Rule(
        "A secret must be given by its full Secrets Manager ARN, with the six characters that AWS adds, without wildcards.",
        "secret_arns",
        one_each(
            (
                "jwt",
                SECRETS[0] + "*",
                SECRETS[0].replace("jwt", "?wt"),
                SECRETS[0].replace("secretsmanager", "ssm"),
                SECRETS[0].rsplit(":", 1)[0] + ":",
                SECRETS[0].rsplit("-", 1)[0],
                *wrong_arns(SECRETS[0]),
                "*",
            ),
            SECRETS[0],
        )
        + ([SECRETS[0], ""],),
        ([], SECRETS, [SECRETS[0].replace("jwt", "a/b_c+d=e.f@g!h-i")]),
    ),
    Rule(
        KMS_SENTENCE,
        "secret_kms_key_arns",
        one_each(BAD_KEYS, KEY) + ([KEY, ""],),
        ([], [KEY], [KEY, KEY.replace("1234abcd", "mrk")]),
    ),
    Rule(
        "A role must be given by its full ARN, without wildcards.",
        "assumable_role_arns",
        one_each(
            (
                "QuiltReader",
                ROLES[0] + "*",
                f"arn:aws:iam::{ACCOUNT}:role/",
                f"arn:aws:iam::{ACCOUNT}:user/bob",
                f"arn:aws:iam::{ACCOUNT}:root",
                f"arn:aws:sts::{ACCOUNT}:assumed-role/a/b",
                *wrong_arns(ROLES[0]),
                "*",
            ),
            ROLES[0],
        )
        + ([ROLES[0], ""],),
        ([], ROLES, [f"arn:aws-cn:iam::{ACCOUNT}:role/a/b+c=d.e@f_g-h"]),
    ),
    Rule(
        "An external id must be 2 to 1224 characters of A-Z, a-z, 0-9 and '+=,.@:/_-'.",
        "external_id",
        ("x", "a b", "a*", "a" * 1225, "ab\n"),
        (None, "ab", "a" * 1224, "A1+=,.@:/_-"),
    ),
    Rule(
        "Names of variables must be of A-Z, a-z, 0-9 and '_', and not begin with ROLECALL_.",
        "environment",
        (
            {"": "x"},
            {"A-B": "x"},
            {"1AB": "x"},
            {"_AB": "x"},
            {"A": "x"},
            {"ROLECALL_CONFIG": "{}"},
            {"ROLECALL_": "x"},
            {"GOOD": "x", "BAD ": "y"},
        ),
        ({}, {"AB": "x"}, {"a_1": "", "ROLECALL": "x", "rolecall_x": "x"}),
    ),
    Rule(
        "The log retention must be a number of days that CloudWatch Logs knows: "
        + ", ".join(map(str, RETENTION[:-1]))
        + " or 3653.",
        "log_retention_in_days",
        (0, 2, 29, 31, 364, 3654, -1, 30.5),
        RETENTION,
    ),
    Rule(KMS_SENTENCE, "kms_key_arn", (*BAD_KEYS, f"{KEY}\n"), (None, KEY)),
    Rule(
        "An alarm topic must be given by its full SNS ARN.",
        "alarm_topic_arns",
        one_each(
            (
                "alarms",
                f"arn:aws:sns:us-east-1:{ACCOUNT}:*",
                f"arn:aws:sns:us-east-1:{ACCOUNT}:a.fifo",
                "me@example.com",
                *wrong_arns(TOPICS[0]),
            ),
            TOPICS[0],
        )
        + ([TOPICS[0], ""],),
        ([], [f"arn:aws:sns:us-east-1:{ACCOUNT}:a_b-C"]),
        ONLY_FUNCTION,
    ),
    Rule(
        "An image must be given with a tag or a digest.",
        "image",
        (
            "",
            "rolecall",
            "ghcr.io/a/rolecall",
            "localhost:5000/rolecall",
            "rolecall:",
            "rolecall@sha256:abc",
            "a b:1",
            "a:1\n",
        ),
        # The last is a space to Unicode, and none to a pattern of AWS's or Terraform's: Docker refuses it.
        (
            "rolecall:1",
            "localhost:5000/a/rolecall:0.1.0-rc_1",
            f"ghcr.io/a/rolecall@sha256:{'0' * 64}",
            "role\u00a0call:1",
        ),
        ONLY_SERVICE,
    ),
    Rule(
        "The CPU must be 256, 512, 1024, 2048 or 4096 units.",
        "cpu",
        (0, 128, 257, 8192, 256.5),
        (256, 512, 1024),
        ONLY_SERVICE,
    ),
    Rule(
        "The memory must be a whole number of MiB from 512 to 30720.",
        "memory",
        (511, 30721, 0, 512.5, -512),
        (512, 1024, 2048),
        ONLY_SERVICE,
    ),
    Rule("The desired count must be a whole number from 0.", "desired_count", (-1, 1.5), (0, 1, 10), ONLY_SERVICE),
    Rule(
        "A security group must be given by its id, such as sg-0123456789abcdef0.",
        "alb_security_group_id",
        ("default", "sg-", "sg-XYZ", "sg-0a1b2c3d,sg-1"),
        ("sg-0a1b2c3d",),
        ONLY_SERVICE,
    ),
    Rule(
        "An ECR repository must be given by its full ARN.",
        "ecr_repository_arn",
        (
            "rolecall",
            f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/rolecall",
            f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/",
            f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/*",
            f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/Rolecall",
            f"{REPOSITORY}\n",
            *wrong_arns(REPOSITORY),
        ),
        (None, f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/team/role_call.1"),
        ONLY_SERVICE,
    ),
]

HTTP_API = "An HTTP API waits 30 seconds at most: the timeout must be 30 or less."
NEEDS_LISTENER = "The front door alb needs the ARN of a listener."
NEEDS_HOST = "The front door alb needs a listener host or a public URL, by which clients reach it."
REST_ONLY = "A web ACL can stand before the front door rest_api only."
FARGATE = (
    "Fargate has no task of this CPU and memory: 256 units go with 512, 1024 or 2048 MiB, 512 with 1 to 4 GiB, 1024 "
    "with 2 to 8, 2048 with 4 to 16, and 4096 with 8 to 30, in whole GiB."
)
FARGATE_SIZES = {
    256: (512, 1024, 2048),
    512: range(1024, 4097, 1024),
    1024: range(2048, 8193, 1024),
    2048: range(4096, 16385, 1024),
    4096: range(8192, 30721, 1024),
}
# CloudFormation cannot measure, and has no `environment`.
ENVIRONMENT = (
    "Lambda measures the environment as JSON, where each quotation mark of a value is two bytes: configuration, public "
    "URL, external id and environment may take 3798 bytes."
)
OTHER_ARCHITECTURE = (
    "The package's path names the other architecture: architecture must be the one that the package was built for."
)
TOGETHER = "A VPC and its subnets must be given together."
ALB = {"front_door": "alb", "alb_listener_arn": LISTENER}


def of_bytes(size: int, letter: str = "x", **inputs: str) -> dict[str, Any]:
    """Inputs that take so many bytes of the environment, most of them by a letter."""
    others = {
        "ROLECALL_CONFIG": FUNCTION["configuration"],
        "ROLECALL_PUBLIC_URL": inputs.get("public_url", ""),
        "ROLECALL_EXTERNAL_ID": inputs.get("external_id", inputs.get("name", "rolecall")),
    }
    left = size - len(json.dumps(others | {"AB": ""}, separators=(",", ":")))
    each = len(json.dumps(letter, ensure_ascii=False).encode()) - 2
    return FUNCTION | inputs | {"environment": {"AB": letter * (left // each) + "x" * (left % each)}}


# What inputs must be to each other.
BETWEEN = [
    *(
        Case(
            "function",
            FUNCTION | {"package_path": path, "architecture": architecture},
            None if architecture == built else OTHER_ARCHITECTURE,
        )
        for path, built in (
            ("arm64/bootstrap.zip", "arm64"),
            ("./x86_64/bootstrap.zip", "x86_64"),
            ("arm64/x86_64/bootstrap.zip", "x86_64"),
            ("x86_64/arm64/other/bootstrap.zip", "arm64"),
        )
        for architecture in ("arm64", "x86_64")
    ),
    Case("function", FUNCTION | {"architecture": "x86_64"}, None),
    *(Case("function", FUNCTION | {"timeout_seconds": seconds}, None) for seconds in range(1, 31)),
    Case("function", FUNCTION | {"timeout_seconds": 31}, HTTP_API),
    Case("function", FUNCTION | {"timeout_seconds": 900, "front_door": "http_api"}, HTTP_API),
    Case("function", FUNCTION | ALB | {"timeout_seconds": 31, "listener_host": "a"}, None),
    Case("function", FUNCTION | {"timeout_seconds": 31, "front_door": "function_url"}, None),
    Case("function", FUNCTION | {"front_door": "alb", "listener_host": "a"}, NEEDS_LISTENER),
    Case("function", FUNCTION | {"front_door": "alb", "public_url": "https://a"}, NEEDS_LISTENER),
    Case("function", FUNCTION | ALB, NEEDS_HOST),
    Case("function", FUNCTION | ALB | {"listener_base_path": "/tools"}, NEEDS_HOST),
    Case("function", FUNCTION | ALB | {"listener_host": "a"}, None),
    Case("function", FUNCTION | ALB | {"public_url": "https://a"}, None),
    Case("function", FUNCTION | {"web_acl_arn": WEB_ACL}, REST_ONLY),
    Case("function", FUNCTION | ALB | {"listener_host": "a", "web_acl_arn": WEB_ACL}, REST_ONLY),
    Case("function", FUNCTION | {"front_door": "function_url", "web_acl_arn": WEB_ACL}, REST_ONLY),
    Case("function", FUNCTION | {"vpc_id": "vpc-0a1b2c3d"}, TOGETHER),
    Case("function", FUNCTION | {"private_subnet_ids": ["subnet-0a1b2c3d"]}, TOGETHER),
    Case("function", FUNCTION | {"vpc_id": "vpc-0a1b2c3d", "private_subnet_ids": []}, TOGETHER),
    *(
        Case("function", of_bytes(size, letter, **inputs), sentence)
        for size, sentence in ((3798, None), (3799, ENVIRONMENT))
        for letter, inputs in (
            ("x", {}),
            ('"', {"name": "tools"}),
            ("é", {"external_id": "quilt-42"}),
            ("&", {"public_url": "https://mcp.example.com/tools"}),
            ("\\u003c<>", {}),
        )
    ),
    Case("service", SERVICE, NEEDS_HOST),
    *(
        Case("service", BASE["service"] | {"cpu": cpu, "memory": memory}, FARGATE if memory in bad else None)
        for cpu, bad in (
            (256, (513, 3072)),
            (512, (512, 1536, 5120)),
            (1024, (1024, 9216)),
            (2048, (3072, 17408)),
            (4096, (7168, 30000)),
        )
        for memory in (*FARGATE_SIZES[cpu], *bad)
    ),
    Case("service", SERVICE | {"listener_base_path": "/tools"}, NEEDS_HOST),
    Case("service", SERVICE | {"public_url": "https://a"}, None),
]


# What CloudFormation takes, and why it cannot do better. The other two refuse it.
BEYOND_CLOUDFORMATION = [
    *(
        Case("function", FUNCTION | {"configuration": text}, sentence, "configuration")
        for text, sentence in (
            # A pattern does not know JSON: Rolecall refuses it as it starts.
            ("{a}", JSON_OBJECT),
            ('{"a": 1,}', JSON_OBJECT),
            ("{'a': 1}", JSON_OBJECT),
            # It does not read escapes either.
            ('{"auth": {"issuers": [{"\\u0068s256": "text"}]}}', NO_SECRET),
        )
    ),
    # It takes away what is around the members of a list.
    *(
        Case(
            variant,
            BASE[variant] | WITH.get((variant, rule.input), {}) | {rule.input: [f"{rule.good[-1][0]}\n"]},
            rule.sentence,
            rule.input,
        )
        for rule in RULES
        if rule.good and isinstance(rule.good[-1], list)
        for variant in rule.variants
    ),
]
# What CloudFormation refuses in words of its own, as it expands the template: a logical id has only the letters and
# digits of the range that it is for. The other two take it.
ALIKE = Case(
    "service",
    BASE["service"] | {"egress_cidr_blocks": ["10.1.10.0/24", "10.11.0.0/24"]},
    "Egress10110024 is there twice",
)


def cases() -> list[Case]:
    """All cases."""
    out = list(BETWEEN)
    for rule in RULES:
        for variant in rule.variants:
            beside = BASE[variant] | WITH.get((variant, rule.input), {})
            out += [
                Case(variant, beside | {rule.input: value}, rule.sentence.replace("{value}", str(value)), rule.input)
                for value in rule.bad
            ]
            out += [Case(variant, beside | {rule.input: value}, None, rule.input) for value in rule.good]
    return out


def mistakes(
    modules: dict[str, Path], app: ModuleType, templates: dict[str, dict[str, Any]], folder: Path
) -> Iterator[str]:
    """A sentence for each case that a definition does not judge as the table says."""
    table = cases()
    yield from judged("Terraform", table, by_terraform(modules, table, folder / "table"))
    beyond = BEYOND_CLOUDFORMATION
    yield from judged("Terraform", beyond, by_terraform(modules, beyond, folder / "beyond"))
    yield from judged("CDK", table + beyond, by_cdk(app, table + beyond, folder / "packages"))
    for case in beyond:
        if by_cloudformation(templates, case):
            yield f"CloudFormation, {case}: it refuses this now, and need not be an exception"
    try:
        cloudformation.evaluate(templates["service"], Configuration("service", ALIKE.inputs).parameters())
        yield f"CloudFormation, {ALIKE}: it takes this now, and need not be an exception"
    except cloudformation.TemplateError as error:
        if str(error) != ALIKE.sentence:
            yield f"CloudFormation, {ALIKE}: {error}"
    table = for_cloudformation()
    yield from judged("CloudFormation", table, [by_cloudformation(templates, case) for case in table])


def for_cloudformation() -> list[Case]:
    """The cases that CloudFormation can be given, with its sentences."""
    return [
        replace(case, sentence=" ".join(JOINED)) if case.sentence in JOINED else case
        for case in cases()
        if not NOT_IN_CLOUDFORMATION & set(case.inputs)
    ]


def judged(definition: str, table: list[Case], sentences: list[list[str]]) -> Iterator[str]:
    """Where what was said is not what the table says."""
    for case, said in zip(table, sentences, strict=True):
        if said != ([case.sentence] if case.sentence else []):
            yield f"{definition}, {case}: expected {case.sentence!r}, and it says {said}"


def make_packages(folder: Path) -> None:
    """Makes a folder with the packages of the table, and what is none."""
    for path in (".", "arm64", "x86_64", "arm64/x86_64", "x86_64/arm64", "x86_64/arm64/other"):
        (folder / path).mkdir(parents=True, exist_ok=True)
        (folder / path / "bootstrap.zip").write_bytes(b"no package: nothing is deployed")
    (folder / "bootstrap").write_bytes(b"no zip")
    (folder / "folder.zip").mkdir()


def by_cdk(app: ModuleType, table: list[Case], folder: Path) -> list[list[str]]:
    """What CDK's inputs say as they are constructed, in a new folder."""
    make_packages(folder)
    with contextlib.chdir(folder):
        return [by_inputs(app.VARIANTS[case.variant][1], case) for case in table]


def by_inputs(kind: type, case: Case) -> list[str]:
    """What one kind of inputs says of a case. It names the input that a sentence is about, which must be the one."""
    try:
        kind(**case.all_inputs())
    except ValueError as error:
        return [line.removeprefix(f"{case.about}: ") for line in str(error).split("\n")]
    return []


def by_cloudformation(templates: dict[str, dict[str, Any]], case: Case) -> list[str]:
    """What CloudFormation says of the parameters. A parameter that breaks a rule of its own says so once."""
    parameters = Configuration(case.variant, case.inputs).parameters()
    return cloudformation.refusals(templates[case.variant], parameters)


def by_terraform(modules: dict[str, Path], table: list[Case], folder: Path) -> list[list[str]]:
    """What one plan says that has a call for each case. The modules are their variables alone: no provider is asked,
    and whatever else a module would refuse later is no answer here."""
    folder.mkdir(parents=True)
    # A refusal has its place in the text where the value is: all are given, defaults too.
    defaults = {}
    for variant, module in modules.items():
        (folder / variant).mkdir()
        shutil.copy(module / "variables.tf", folder / variant)
        variables = plans.Module.read(folder / variant).variables
        defaults[variant] = {name: body["default"] for name, body in variables.items() if "default" in body}
        if set(variables) != set(plans.Module.read(module).variables):
            raise plans.PlanError(f"{module}: all variables must be in variables.tf")
    # Terraform looks at what inputs are to each other only when each by itself is right, in all calls of a plan.
    between = sum(case in BETWEEN for case in table)
    starts = [*range(0, between, AT_ONCE), *range(between, len(table), AT_ONCE)]
    parts = [table[start:end] for start, end in zip(starts, [*starts[1:], len(table)], strict=True)]
    folders = [folder / str(number) for number in range(len(parts))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [said for found in pool.map(by_one_plan, parts, repeat(defaults), folders) for said in found]


# What one plan costs grows faster than its calls.
AT_ONCE = 25


def by_one_plan(table: list[Case], defaults: dict[str, dict[str, Any]], folder: Path) -> list[list[str]]:
    """What one plan says of some cases, in a new folder beside the modules."""
    make_packages(folder)
    lines: list[str] = []
    first_lines = []
    for number, case in enumerate(table):
        first_lines.append(len(lines) + 1)
        lines += [f'module "case{number}" {{', f'  source = "../{case.variant}"']
        inputs = defaults[case.variant] | case.all_inputs()
        lines += [f"  {name} = {plans.hcl(value)}" for name, value in inputs.items()] + ["}"]
    (folder / "main.tf").write_text("\n".join(lines))
    plans.run(folder, "init", "-no-color")
    said: list[list[str]] = [[] for _ in table]
    for line in plans.run(folder, "plan", "-no-color", "-json", "-lock=false").splitlines():
        message = json.loads(line)
        if message["type"] != "diagnostic":
            continue
        diagnostic = message["diagnostic"]
        place = diagnostic.get("range", {})
        if diagnostic["summary"] != "Invalid value for variable" or place.get("filename") != "main.tf":
            raise plans.PlanError(f"{diagnostic['summary']}: {diagnostic['detail']}: {place}")
        number = max(n for n, first in enumerate(first_lines) if first <= place["start"]["line"])
        said[number].append(diagnostic["detail"].split("\n\nThis was checked by")[0])
    return said
