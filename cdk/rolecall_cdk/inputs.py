"""What a deployment is told: the inputs of both variants, with their defaults, descriptions and rules.

In comes what a user writes; out goes a frozen instance in which every rule holds, or one `ValueError` with a sentence a
line for all that does not, with the name of the input that it is about in front. The Terraform modules and the
CloudFormation templates have the same inputs, defaults, descriptions and sentences.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from aws_cdk import Token


@dataclass(frozen=True)
class Rule:
    """What must hold for the value of an input, and what is said where it does not."""

    sentence: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class CrossRule:
    """What must hold between several inputs. It is asked only where each of them is right by itself."""

    about: frozenset[str]
    sentence: str
    holds: Callable[[Any], bool]


def text(pattern: str, sentence: str, at_most: int | None = None) -> Rule:
    """A text that matches; or one that is known only at deployment, such as an attribute of another construct."""

    def holds(value: Any) -> bool:
        if not isinstance(value, str):
            return False
        short_enough = at_most is None or len(value) <= at_most
        # To Terraform and CloudFormation \d and \s are ASCII's.
        return short_enough and re.fullmatch(pattern, value, re.ASCII) is not None or Token.is_unresolved(value)

    return Rule(sentence, holds)


def whole(at_least: int, at_most: int | None, sentence: str) -> Rule:
    """A whole number within limits. To Python, truth values are numbers too."""
    return Rule(
        sentence, lambda value: type(value) is int and value >= at_least and (at_most is None or value <= at_most)
    )


def one_of(values: Collection[str | int], sentence: str) -> Rule:
    """One of a few values, of their type."""
    return Rule(sentence, lambda value: type(value) in map(type, values) and value in values)


def each(rule: Rule, at_least: int = 0) -> Rule:
    """A list, for each of whose members a rule holds. A text is no list of its letters."""
    return Rule(
        rule.sentence,
        lambda value: isinstance(value, (list, tuple)) and len(value) >= at_least and all(map(rule.holds, value)),
    )


def is_text_map(value: Any) -> bool:
    """Whether it is a map of texts to texts."""
    return isinstance(value, Mapping) and all(isinstance(part, str) for pair in value.items() for part in pair)


def is_json_object(value: Any) -> bool:
    """Whether it is the text of a JSON object, short enough for an environment variable."""
    if not isinstance(value, str) or len(value) > 3500:
        return False
    try:
        return Token.is_unresolved(value) or isinstance(json.loads(value, parse_constant=refuse), dict)
    except (ValueError, RecursionError):
        return False


# An ARN that is known only at deployment is a token here.
SECRET_THAT_IS_NOT_STORED = r'"(hs256|clientSecret)":(?!\{"\$secret":("arn:|"\$\{Token\[|\{))'


def holds_no_secret(value: str) -> bool:
    """Whether each secret of the configuration is in Secrets Manager. What is no JSON is refused elsewhere.

    Written anew, a document has no spaces and escapes in which a name could hide, and its names are sorted.
    """
    try:
        text = json.dumps(json.loads(value), separators=(",", ":"), sort_keys=True)
    except (ValueError, RecursionError):
        return True
    return re.search(SECRET_THAT_IS_NOT_STORED, text) is None


def refuse(constant: str) -> None:
    """Python reads NaN and Infinity, which are not JSON."""
    raise ValueError(constant)


def is_environment(value: Any) -> bool:
    """Whether it is a map of variables that are not Rolecall's own. Lambda takes no name of a single letter."""
    return is_text_map(value) and all(
        re.fullmatch(r"^[A-Za-z][A-Za-z0-9_]+$", name) and not name.startswith("ROLECALL_") for name in value
    )


NAME = text(
    r"^(?!sg-)[a-z][a-z0-9-]{0,30}[a-z0-9]$",
    "A name must be 2 to 32 characters of a-z, 0-9 and '-', begin with a letter but not with sg-, and not end with '-'.",
)
TEXT = Rule("It must be a text.", lambda value: isinstance(value, str))
TEXT_MAP = Rule("It must be a map of texts.", is_text_map)
SWITCH = Rule("It must be true or false.", lambda value: isinstance(value, bool))
CONFIGURATION = Rule("The configuration must be a JSON object of at most 3500 characters.", is_json_object)
NO_SECRET = Rule(
    'The configuration must hold no secret: hs256 and clientSecret must be {"$secret": "ARN"}.', holds_no_secret
)
PUBLIC_URL = text(
    r"^https://[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[A-Za-z0-9._~-]+)*(?<!/mcp)$",
    "A public URL must begin with https://, have its host in lower case, and not end with '/' or '/mcp'.",
)
PACKAGE = (
    Rule(
        "A package must be a file that ends in .zip, as `make package` makes it.",
        lambda value: value.endswith(".zip"),
    ),
    Rule("There is no package at {value}: `make package` makes it.", lambda value: Path(value).is_file()),
)
ARCHITECTURE = one_of(("arm64", "x86_64"), "The architecture must be arm64 or x86_64.")
FRONT_DOORS = ("http_api", "rest_api", "alb", "function_url")
FRONT_DOOR = one_of(FRONT_DOORS, "The front door must be http_api, rest_api, alb or function_url.")
LISTENER = text(
    r"^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:listener/app/[A-Za-z0-9-]+/[0-9a-f]+/[0-9a-f]+$",
    "A listener must be given by the full ARN of an application load balancer's listener.",
)
LISTENER_PRIORITY = whole(1, 49999, "A listener priority must be a whole number from 1 to 49999.")
LISTENER_HOST = text(r"^[a-z0-9][a-z0-9.-]*$", "A listener host must be a host name in lower case, without wildcards.")
BASE_PATH = text(
    r"^(/[A-Za-z0-9._~-]+)*(?<!/mcp)$",
    "A base path must be empty, or begin with '/', not end with it or '/mcp', and have at most 80 characters.",
    at_most=80,
)
WEB_ACL = text(
    r"^arn:aws[a-z-]*:wafv2:[a-z0-9-]+:[0-9]{12}:regional/webacl/[A-Za-z0-9_-]+/[0-9a-f-]+$",
    "A web ACL must be given by the full ARN of a regional WAFv2 web ACL.",
)
VPC = text(r"^vpc-[0-9a-f]+$", "A VPC must be given by its id, such as vpc-0123456789abcdef0.")
SUBNETS = each(text(r"^subnet-[0-9a-f]+$", "A subnet must be given by its id, such as subnet-0123456789abcdef0."))
VPC_WITH_SUBNETS = "A VPC and its subnets must be given together."
SECURITY_GROUP = text(r"^sg-[0-9a-f]+$", "A security group must be given by its id, such as sg-0123456789abcdef0.")
OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
EGRESS = each(
    text(rf"^({OCTET}\.){{3}}{OCTET}/(3[0-2]|[12]?[0-9])$", "Egress must be given as IPv4 CIDR blocks, at least one."),
    at_least=1,
)
SECRETS = each(
    text(
        r"^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@!-]+-[A-Za-z0-9]{6}$",
        "A secret must be given by its full Secrets Manager ARN, with the six characters that AWS adds, without wildcards.",
    )
)
KMS_KEY = text(
    r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", "A KMS key must be given by its full key ARN."
)
ROLES = each(
    text(
        r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$",
        "A role must be given by its full ARN, without wildcards.",
    )
)
EXTERNAL_ID = text(
    r"^[A-Za-z0-9+=,.@:/_-]{2,}$",
    "An external id must be 2 to 1224 characters of A-Z, a-z, 0-9 and '+=,.@:/_-'.",
    at_most=1224,
)
ENVIRONMENT = Rule("Names of variables must be of A-Z, a-z, 0-9 and '_', and not begin with ROLECALL_.", is_environment)
LOG_RETENTION = one_of(
    (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
    "The log retention must be a number of days that CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180,"
    " 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653.",
)
ALARM_TOPICS = each(
    text(
        r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", "An alarm topic must be given by its full SNS ARN."
    )
)
IMAGE = text(
    r"^[^\s:@]+(:[0-9]+)?(/[^\s:@]+)*(:[A-Za-z0-9._-]+|@sha256:[0-9a-f]{64})$",
    "An image must be given with a tag or a digest.",
)
ECR_REPOSITORY = text(
    r"^arn:aws[a-z-]*:ecr:[a-z0-9-]+:[0-9]{12}:repository/[a-z0-9._/-]+$",
    "An ECR repository must be given by its full ARN.",
)
# MiB for each number of CPU units.
FARGATE = {
    256: (512, 1024, 2048),
    512: range(1024, 4097, 1024),
    1024: range(2048, 8193, 1024),
    2048: range(4096, 16385, 1024),
    4096: range(8192, 30721, 1024),
}
NEEDS_HOST = "The front door alb needs a listener host or a public URL, by which clients reach it."


def given(description: str, *rules: Rule, default: Any = MISSING) -> Any:
    """An input: what it means, what must hold for it, and what it is where it is not given."""
    metadata = {"description": description, "rules": rules}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def mistakes(inputs: SharedInputs) -> list[str]:
    """A sentence for each input that is wrong, with its name in front: several have the same rule; and one for those
    that do not go together."""
    judged = {input.name: mistake(input, getattr(inputs, input.name)) for input in fields(inputs)}
    wrong = {name: sentence for name, sentence in judged.items() if sentence}
    cross = [rule.sentence for rule in inputs.CROSS_RULES if rule.about.isdisjoint(wrong) and not rule.holds(inputs)]
    return [*(f"{name}: {sentence}" for name, sentence in wrong.items()), *cross]


def mistake(input: Field, value: Any) -> str | None:
    """What is wrong with the value of an input. One that is nothing by default may be nothing."""
    if value is None and input.default is None:
        return None
    broken = (rule for rule in input.metadata["rules"] if not rule.holds(value))
    return next((rule.sentence.replace("{value}", str(value)) for rule in broken), None)


@dataclass(frozen=True, kw_only=True)
class SharedInputs:
    """The inputs that both variants have. Where they say `function`, the service says its own word."""

    CROSS_RULES: ClassVar[tuple[CrossRule, ...]] = ()

    name: str = given(
        "Name of the stack's function, and prefix of the names of its other resources.", NAME, default="rolecall"
    )
    configuration: str = given(
        "Rolecall's configuration: the JSON document that docs/config.schema.json describes. It holds ARNs of secrets,"
        " never secrets.",
        CONFIGURATION,
        NO_SECRET,
    )
    public_url: str | None = given(
        "URL that clients use, where it is not the front door's own, such as https://mcp.example.com.",
        PUBLIC_URL,
        default=None,
    )
    architecture: str = given("Instruction set that the package was built for.", ARCHITECTURE, default="arm64")
    alb_listener_arn: str | None = given(
        "Listener of the load balancer that forwards to the function; for the front door alb.", LISTENER, default=None
    )
    listener_priority: int = given(
        "Priority of the first of two listener rules; the second has the next one.", LISTENER_PRIORITY, default=100
    )
    listener_host: str | None = given(
        "Host name for which the listener forwards; any where it is not given.", LISTENER_HOST, default=None
    )
    listener_base_path: str = given(
        "Path below which the load balancer serves Rolecall, such as /tools.", BASE_PATH, default=""
    )
    vpc_id: str | None = given("VPC in which the function runs; none where it is not given.", VPC, default=None)
    private_subnet_ids: Sequence[str] = given(
        "Private subnets of the VPC in which the function runs.", SUBNETS, default=()
    )
    egress_cidr_blocks: Sequence[str] = given(
        "IPv4 ranges that the function may reach on port 443 from its VPC.", EGRESS, default=("0.0.0.0/0",)
    )
    secret_arns: Sequence[str] = given(
        "Secrets that the function may read: those that the configuration names.", SECRETS, default=()
    )
    secret_kms_key_arns: Sequence[str] = given(
        "Customer managed KMS keys with which these secrets are encrypted.", each(KMS_KEY), default=()
    )
    assumable_role_arns: Sequence[str] = given("Roles that the function may assume for its callers.", ROLES, default=())
    external_id: str | None = given(
        "External id that is sent with each assumption of a role; the name where it is not given.",
        EXTERNAL_ID,
        default=None,
    )
    environment: Mapping[str, str] = given(
        "Further environment variables, for `$env` in the configuration. Never secrets.", ENVIRONMENT, default={}
    )
    tags: Mapping[str, str] = given("Tags of all resources.", TEXT_MAP, default={})
    log_retention_in_days: int = given("How long logs are kept, in days.", LOG_RETENTION, default=30)
    kms_key_arn: str | None = given(
        "Customer managed KMS key that encrypts logs and the vault's table.", KMS_KEY, default=None
    )

    def __post_init__(self) -> None:
        if found := mistakes(self):
            raise ValueError("\n".join(found))


def architecture_of_package(inputs: RolecallInputs) -> str | None:
    """The architecture that the last of the package's folders names, of those that name one: others may be above."""
    named = [folder for folder in Path(inputs.package_path).parts if folder in ("arm64", "x86_64")]
    return named[-1] if named else None


def bytes_of_environment(inputs: RolecallInputs) -> int:
    """What the inputs take of the environment's 4096 bytes; the rest is for what the construct adds."""
    variables = {
        "ROLECALL_CONFIG": inputs.configuration,
        "ROLECALL_PUBLIC_URL": inputs.public_url or "",
        "ROLECALL_EXTERNAL_ID": inputs.external_id or inputs.name,
    } | dict(inputs.environment)
    return len(json.dumps(variables, separators=(",", ":"), ensure_ascii=False).encode())


@dataclass(frozen=True, kw_only=True)
class RolecallInputs(SharedInputs):
    """The inputs of the Lambda variant."""

    CROSS_RULES: ClassVar[tuple[CrossRule, ...]] = (
        CrossRule(
            frozenset({"package_path", "architecture"}),
            "The package's path names the other architecture: architecture must be the one that the package was built"
            " for.",
            lambda inputs: architecture_of_package(inputs) in (None, inputs.architecture),
        ),
        CrossRule(
            frozenset({"front_door", "timeout_seconds"}),
            "An HTTP API waits 30 seconds at most: the timeout must be 30 or less.",
            lambda inputs: inputs.front_door != "http_api" or inputs.timeout_seconds <= 30,
        ),
        CrossRule(
            frozenset({"front_door", "alb_listener_arn"}),
            "The front door alb needs the ARN of a listener.",
            lambda inputs: inputs.front_door != "alb" or inputs.alb_listener_arn is not None,
        ),
        CrossRule(
            frozenset({"front_door", "listener_host", "public_url"}),
            NEEDS_HOST,
            lambda inputs: inputs.front_door != "alb" or (inputs.listener_host or inputs.public_url) is not None,
        ),
        CrossRule(
            frozenset({"front_door", "web_acl_arn"}),
            "A web ACL can stand before the front door rest_api only.",
            lambda inputs: inputs.web_acl_arn is None or inputs.front_door == "rest_api",
        ),
        CrossRule(
            frozenset({"vpc_id", "private_subnet_ids"}),
            VPC_WITH_SUBNETS,
            lambda inputs: (inputs.vpc_id is None) == (len(inputs.private_subnet_ids) == 0),
        ),
        CrossRule(
            frozenset({"name", "configuration", "public_url", "external_id", "environment"}),
            "Lambda measures the environment as JSON, where each quotation mark of a value is two bytes: configuration,"
            " public URL, external id and environment may take 3798 bytes.",
            lambda inputs: bytes_of_environment(inputs) <= 3798,
        ),
    )

    package_path: str = given(
        "Path of the bootstrap.zip that `make package` made for the architecture.", TEXT, *PACKAGE
    )
    memory_size: int = given(
        "Memory of the function in MiB; its share of a processor grows with it.",
        whole(128, 10240, "The memory size must be a whole number of MiB from 128 to 10240."),
        default=256,
    )
    timeout_seconds: int = given(
        "How long one request may take, in seconds.",
        whole(1, 900, "The timeout must be a whole number of seconds from 1 to 900."),
        default=30,
    )
    reserved_concurrency: int = given(
        "How many instances may run at once; -1 for no limit of its own.",
        whole(-1, None, "The reserved concurrency must be -1 or a whole number from 0."),
        default=-1,
    )
    provisioned_concurrency: int = given(
        "How many instances are kept ready.",
        whole(0, None, "The provisioned concurrency must be a whole number from 0."),
        default=0,
    )
    function_version: str | None = given(
        "Version that the alias `live` points to, to roll back to; the newest where it is not given.",
        text(r"^[1-9][0-9]*$", "A function version must be a number, such as 7."),
        default=None,
    )
    front_door: str = given(
        "What clients call: http_api, rest_api, alb or function_url.", FRONT_DOOR, default="http_api"
    )
    web_acl_arn: str | None = given("WAF web ACL that stands before the front door rest_api.", WEB_ACL, default=None)
    enable_xray: bool = given("Whether requests are traced with X-Ray.", SWITCH, default=True)
    enable_vault_table: bool = given("Whether there is a DynamoDB table for the vault.", SWITCH, default=False)
    enable_deletion_protection: bool = given(
        "Whether the vault's table is protected from deletion.", SWITCH, default=True
    )
    alarm_topic_arns: Sequence[str] = given("SNS topics that alarms are sent to.", ALARM_TOPICS, default=())


@dataclass(frozen=True, kw_only=True)
class RolecallServiceInputs(SharedInputs):
    """The inputs of the ECS variant."""

    CROSS_RULES: ClassVar[tuple[CrossRule, ...]] = (
        CrossRule(
            frozenset({"listener_host", "public_url"}),
            NEEDS_HOST,
            lambda inputs: (inputs.listener_host or inputs.public_url) is not None,
        ),
        CrossRule(
            frozenset({"cpu", "memory"}),
            "Fargate has no task of this CPU and memory: 256 units go with 512, 1024 or 2048 MiB, 512 with 1 to 4 GiB,"
            " 1024 with 2 to 8, 2048 with 4 to 16, and 4096 with 8 to 30, in whole GiB.",
            lambda inputs: inputs.memory in FARGATE[inputs.cpu],
        ),
    )

    name: str = given(
        "Name of the stack's service, and prefix of the names of its other resources.", NAME, default="rolecall"
    )
    architecture: str = given("Instruction set that the image was built for.", ARCHITECTURE, default="arm64")
    alb_listener_arn: str = given("Listener of the load balancer that forwards to the tasks.", LISTENER)
    vpc_id: str = given("VPC in which the tasks run.", VPC)
    private_subnet_ids: Sequence[str] = given(
        "Private subnets of the VPC in which the tasks run.",
        SUBNETS,
        Rule(VPC_WITH_SUBNETS, lambda value: len(value) > 0),
    )
    egress_cidr_blocks: Sequence[str] = given(
        "IPv4 ranges that the tasks may reach on port 443 from their VPC.", EGRESS, default=("0.0.0.0/0",)
    )
    secret_arns: Sequence[str] = given(
        "Secrets that the task may read: those that the configuration names.", SECRETS, default=()
    )
    assumable_role_arns: Sequence[str] = given("Roles that the task may assume for its callers.", ROLES, default=())
    kms_key_arn: str | None = given("Customer managed KMS key that encrypts logs.", KMS_KEY, default=None)
    image: str = given("Image of the container, with a tag or a digest.", IMAGE)
    cpu: int = given(
        "CPU units of a task: 1024 are one processor.",
        one_of((256, 512, 1024, 2048, 4096), "The CPU must be 256, 512, 1024, 2048 or 4096 units."),
        default=256,
    )
    memory: int = given(
        "Memory of a task in MiB.",
        whole(512, 30720, "The memory must be a whole number of MiB from 512 to 30720."),
        default=512,
    )
    desired_count: int = given(
        "How many tasks run.", whole(0, None, "The desired count must be a whole number from 0."), default=2
    )
    alb_security_group_id: str = given(
        "Security group of the load balancer, which alone may reach the tasks.", SECURITY_GROUP
    )
    ecr_repository_arn: str | None = given(
        "ECR repository that the image is pulled from; none where the image is public.", ECR_REPOSITORY, default=None
    )
    enable_execute_command: bool = given(
        "Whether operators may run commands in a task (ECS Exec). Its file system can then be written to.",
        SWITCH,
        default=False,
    )
