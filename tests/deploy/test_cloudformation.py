"""Checks what the CloudFormation templates say: each policy, trust and permission word for word, with every optional
statement on and off, and what the templates do by hand where CloudFormation has no function for it.

In come the templates, evaluated for parameters as CloudFormation does; out goes a failure that shows what differs.
"""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from parity import cloudformation  # noqa: E402

FOLDER = Path(__file__).parents[2] / "cloudformation"
LAMBDA = cloudformation.load(FOLDER / "rolecall.yaml")
ECS = cloudformation.load(FOLDER / "rolecall-ecs.yaml")
TEMPLATES = {"rolecall.yaml": LAMBDA, "rolecall-ecs.yaml": ECS}

LISTENER = "arn:aws-cn:elasticloadbalancing:cn-north-1:999999999999:listener/app/web/0123456789abcdef/fedcba9876543210"
KEY = "arn:aws-cn:kms:cn-north-1:999999999999:key/11111111-2222-3333-4444-555555555555"
VAULT_KEY = "arn:aws-cn:kms:cn-north-1:999999999999:key/66666666-7777-8888-9999-000000000000"
SECRETS = [
    f"arn:aws-cn:secretsmanager:cn-north-1:999999999999:secret:{name}" for name in ("jwt-AbCdEf", "github-GhIjKl")
]
ROLES = ["arn:aws-cn:iam::999999999999:role/Analyst", "arn:aws-cn:iam::111122223333:role/team/Admin"]
REPOSITORY = "arn:aws-cn:ecr:cn-north-1:999999999999:repository/rolecall"

NEEDED = {"PackageBucket": "packages", "PackageKey": "rolecall-1.zip", "Configuration": "{}"}
ECS_NEEDED = {
    "Image": "registry.example.com/rolecall:1",
    "Configuration": "{}",
    "VpcId": "vpc-0123456789abcdef0",
    "PrivateSubnetIds": "subnet-0a,subnet-0b",
    "AlbListenerArn": LISTENER,
    "AlbSecurityGroupId": "sg-0123456789abcdef0",
    "ListenerHost": "mcp.example.com",
}
IN_VPC = {"VpcId": "vpc-0123456789abcdef0", "PrivateSubnetIds": "subnet-0a,subnet-0b"}
ALB = {"FrontDoor": "alb", "AlbListenerArn": LISTENER, "ListenerHost": "mcp.example.com"}
VAULT = {"EnableVaultTable": "true"}

NETWORK_INTERFACE_ACTIONS = [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
]
# Every statement that a policy of ours may have, by its Sid.
STATEMENTS = {
    "ReadSecrets": {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": SECRETS},
    "DecryptSecrets": {
        "Effect": "Allow",
        "Action": "kms:Decrypt",
        "Resource": [KEY],
        "Condition": {"StringLike": {"kms:ViaService": "secretsmanager.*.amazonaws.com.cn"}},
    },
    "AssumeCallerRoles": {
        "Effect": "Allow",
        "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
        "Resource": ROLES,
    },
    "Vault": {
        "Effect": "Allow",
        "Action": [
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
            "dynamodb:DeleteItem",
            "dynamodb:Query",
        ],
        "Resource": "arn:aws-cn:dynamodb:cn-north-1:999999999999:table/tools-vault",
    },
    "VaultKey": {
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": VAULT_KEY,
        "Condition": {"StringEquals": {"kms:ViaService": "dynamodb.cn-north-1.amazonaws.com.cn"}},
    },
    "Tracing": {
        "Effect": "Allow",
        "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
        "Resource": "*",
    },
    "NetworkInterfaces": {"Effect": "Allow", "Action": NETWORK_INTERFACE_ACTIONS, "Resource": "*"},
    "NetworkInterfacesByLambdaOnly": {
        "Effect": "Deny",
        "Action": NETWORK_INTERFACE_ACTIONS,
        "Resource": "*",
        "Condition": {
            "ArnEquals": {"lambda:SourceFunctionArn": "arn:aws-cn:lambda:cn-north-1:999999999999:function:tools"}
        },
    },
    "ExecuteCommand": {
        "Effect": "Allow",
        "Action": [
            "ssmmessages:CreateControlChannel",
            "ssmmessages:CreateDataChannel",
            "ssmmessages:OpenControlChannel",
            "ssmmessages:OpenDataChannel",
        ],
        "Resource": "*",
    },
    "RegistryToken": {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
    "Pull": {
        "Effect": "Allow",
        "Action": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        "Resource": REPOSITORY,
    },
}
# What ids look like, for those types whose ids have a form that AWS's schemas check.
IDS = {
    "AWS::EC2::SecurityGroup": "sg-0123456789abcdef0",
    "AWS::Lambda::Version": "3",
    "AWS::Logs::LogGroup": "/aws/lambda/tools",
}


class Stack:
    """What a template asks for; where a resource's id would stand, its name in the template stands, in brackets."""

    def __init__(self, template: dict[str, Any], needed: dict[str, str], **parameters: str) -> None:
        self._stack = cloudformation.evaluate(template, {**needed, "Name": "tools", **parameters})
        self.outputs: dict[str, Any] = self._readable(self._stack.outputs)

    def _readable(self, value: Any) -> Any:
        text = json.dumps(value)
        for token, name in self._stack.tokens.items():
            text = text.replace(token, f"<{name}>")
        return json.loads(text)

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """The properties of each resource of a type, by its name in the template."""
        resources = self._stack.resources.items()
        return {name: self._readable(found.properties) for name, found in resources if found.type == kind}

    def as_template(self) -> str:
        """The same as a template without parameters, conditions and functions; ids are made up."""
        resources = {
            name: {"Type": found.type, "Properties": found.properties} for name, found in self._stack.resources.items()
        }
        text = json.dumps({"Resources": resources})
        for token, name in self._stack.tokens.items():
            text = text.replace(token, IDS.get(resources[name]["Type"], "a1b2c3d4e5"))
        return text

    def properties(self, name: str) -> dict[str, Any]:
        return self._readable(self._stack.resources[name].properties)

    def statements(self, role: str, policy: str) -> list[dict[str, Any]]:
        """The statements of a role's one inline policy."""
        (found,) = self.properties(role)["Policies"]
        assert found.keys() == {"PolicyName", "PolicyDocument"}
        assert found["PolicyName"] == policy
        assert found["PolicyDocument"].keys() == {"Version", "Statement"}
        assert found["PolicyDocument"]["Version"] == "2012-10-17"
        return found["PolicyDocument"]["Statement"]


def function_stack(**parameters: str) -> Stack:
    return Stack(LAMBDA, NEEDED, **parameters)


def service_stack(**parameters: str) -> Stack:
    return Stack(ECS, ECS_NEEDED, **parameters)


def logs(group: str) -> dict[str, Any]:
    return {
        "Sid": "Logs",
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": f"arn:aws-cn:logs:cn-north-1:999999999999:log-group:{group}:*",
    }


def statements(*sids: str) -> list[dict[str, Any]]:
    return [{"Sid": sid, **STATEMENTS[sid]} for sid in sids]


# Policies and trust.


@pytest.mark.parametrize(
    ("parameters", "sids"),
    [
        ({"EnableXray": "false"}, []),
        ({}, ["Tracing"]),
        ({"EnableXray": "false", "SecretArns": ",".join(SECRETS)}, ["ReadSecrets"]),
        ({"EnableXray": "false", "SecretKmsKeyArns": KEY}, ["DecryptSecrets"]),
        ({"EnableXray": "false", "AssumableRoleArns": ",".join(ROLES)}, ["AssumeCallerRoles"]),
        ({"EnableXray": "false", **VAULT}, ["Vault"]),
        ({"EnableXray": "false", "KmsKeyArn": VAULT_KEY}, []),
        ({"EnableXray": "false", "KmsKeyArn": VAULT_KEY, **VAULT}, ["Vault", "VaultKey"]),
        ({"EnableXray": "false", **IN_VPC}, ["NetworkInterfaces", "NetworkInterfacesByLambdaOnly"]),
        (
            {
                "SecretArns": ",".join(SECRETS),
                "SecretKmsKeyArns": KEY,
                "AssumableRoleArns": ",".join(ROLES),
                "KmsKeyArn": VAULT_KEY,
                **VAULT,
                **IN_VPC,
            },
            [
                "ReadSecrets",
                "DecryptSecrets",
                "AssumeCallerRoles",
                "Vault",
                "VaultKey",
                "Tracing",
                "NetworkInterfaces",
                "NetworkInterfacesByLambdaOnly",
            ],
        ),
    ],
)
def test_the_function_may_do_exactly_this(parameters: dict[str, str], sids: list[str]) -> None:
    expected = [logs("/aws/lambda/tools"), *statements(*sids)]
    assert function_stack(**parameters).statements("Role", "function") == expected


def test_the_functions_role_is_lambdas_alone() -> None:
    (role,) = function_stack().of_type("AWS::IAM::Role").values()
    del role["Policies"]
    assert role == {
        "RoleName": "tools-function",
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
            ],
        },
        "Tags": [{"Key": "rolecall:stack", "Value": "tools"}],
    }


@pytest.mark.parametrize(
    ("parameters", "sids"),
    [
        ({"SecretArns": ",".join(SECRETS)}, ["ReadSecrets"]),
        ({"SecretKmsKeyArns": KEY}, ["DecryptSecrets"]),
        ({"AssumableRoleArns": ",".join(ROLES)}, ["AssumeCallerRoles"]),
        ({"EnableExecuteCommand": "true"}, ["ExecuteCommand"]),
        (
            {
                "SecretArns": ",".join(SECRETS),
                "SecretKmsKeyArns": KEY,
                "AssumableRoleArns": ",".join(ROLES),
                "EnableExecuteCommand": "true",
            },
            ["ReadSecrets", "DecryptSecrets", "AssumeCallerRoles", "ExecuteCommand"],
        ),
    ],
)
def test_a_task_may_do_exactly_this(parameters: dict[str, str], sids: list[str]) -> None:
    assert service_stack(**parameters).statements("TaskRole", "task") == statements(*sids)


@pytest.mark.parametrize(
    ("parameters", "sids"),
    [
        ({}, []),
        ({"EcrRepositoryArn": REPOSITORY}, ["RegistryToken", "Pull"]),
        # What a task reads and assumes, ECS itself does not.
        ({"SecretArns": ",".join(SECRETS), "SecretKmsKeyArns": KEY, "AssumableRoleArns": ",".join(ROLES)}, []),
    ],
)
def test_ecs_may_do_exactly_this(parameters: dict[str, str], sids: list[str]) -> None:
    expected = [logs("/ecs/tools"), *statements(*sids)]
    assert service_stack(**parameters).statements("ExecutionRole", "execution") == expected


def test_the_services_roles_are_for_tasks_of_this_account_alone() -> None:
    # Without anything to read or assume a task has no policy at all.
    roles = service_stack().of_type("AWS::IAM::Role")
    del roles["ExecutionRole"]["Policies"]
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": {"Service": "ecs-tasks.amazonaws.com"},
                "Condition": {"StringEquals": {"aws:SourceAccount": "999999999999"}},
            }
        ],
    }
    tags = [{"Key": "rolecall:stack", "Value": "tools"}]
    assert roles == {
        "TaskRole": {"RoleName": "tools-task", "AssumeRolePolicyDocument": trust, "Tags": tags},
        "ExecutionRole": {"RoleName": "tools-execution", "AssumeRolePolicyDocument": trust, "Tags": tags},
    }


@pytest.mark.parametrize(
    ("stack", "role"), [(function_stack, "<Role>"), (service_stack, "<TaskRole>")], ids=["function", "service"]
)
@pytest.mark.parametrize(("parameters", "external_id"), [({}, "tools"), ({"ExternalId": "one=2/3"}, "one=2/3")])
def test_the_trust_policy_that_callers_roles_need(
    stack: Any, role: str, parameters: dict[str, str], external_id: str
) -> None:
    assert json.loads(stack(**parameters).outputs["RoleTrustPolicy"]) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws-cn:iam::999999999999:role/{role}"},
                "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
                "Condition": {
                    "StringEquals": {"sts:ExternalId": external_id},
                    "StringLike": {"sts:SourceIdentity": "*"},
                },
            }
        ],
    }


# Who may call the function, and by which way.


@pytest.mark.parametrize(
    ("parameters", "principal", "source"),
    [
        ({}, "apigateway", "execute-api:cn-north-1:999999999999:<HttpApi>/*/*"),
        ({"FrontDoor": "rest_api"}, "apigateway", "execute-api:cn-north-1:999999999999:<RestApi>/*/*/*"),
        (ALB, "elasticloadbalancing", "elasticloadbalancing:cn-north-1:999999999999:targetgroup/tools/*"),
    ],
    ids=["http_api", "rest_api", "alb"],
)
def test_the_front_door_alone_may_call_the_alias(parameters: dict[str, str], principal: str, source: str) -> None:
    (permission,) = function_stack(**parameters).of_type("AWS::Lambda::Permission").values()
    assert permission == {
        "Action": "lambda:InvokeFunction",
        "FunctionName": "arn:aws-cn:lambda:cn-north-1:999999999999:function:<Live>",
        "Principal": f"{principal}.amazonaws.com",
        "SourceArn": f"arn:aws-cn:{source}",
    }


def test_a_function_url_asks_for_signed_requests_and_grants_nothing() -> None:
    stack = function_stack(FrontDoor="function_url")
    assert stack.of_type("AWS::Lambda::Permission") == {}
    assert stack.of_type("AWS::Lambda::Url") == {
        "FunctionUrl": {
            "TargetFunctionArn": "<Function>",
            "Qualifier": "live",
            "AuthType": "AWS_IAM",
            "InvokeMode": "RESPONSE_STREAM",
        }
    }


# Each front door: what clients call, and what the function is told of it.


@pytest.mark.parametrize(
    ("parameters", "told", "called", "mode", "api_id"),
    [
        ({}, *["https://<HttpApi>.execute-api.cn-north-1.amazonaws.com.cn"] * 2, "BUFFERED", "<HttpApi>"),
        (
            {"FrontDoor": "rest_api"},
            *["https://<RestApi>.execute-api.cn-north-1.amazonaws.com.cn/live"] * 2,
            "RESPONSE_STREAM",
            "<RestApi>",
        ),
        (ALB, *["https://mcp.example.com"] * 2, "BUFFERED", None),
        ({**ALB, "ListenerBasePath": "/tools"}, *["https://mcp.example.com/tools"] * 2, "BUFFERED", None),
        (
            {"FrontDoor": "function_url"},
            None,
            "https://<FunctionUrl>.lambda-url.cn-north-1.on.aws",
            "RESPONSE_STREAM",
            "<FunctionUrl>",
        ),
        (
            {"FrontDoor": "function_url", "PublicUrl": "https://a.example"},
            *["https://a.example"] * 2,
            "RESPONSE_STREAM",
            "<FunctionUrl>",
        ),
        ({"PublicUrl": "https://a.example/b"}, *["https://a.example/b"] * 2, "BUFFERED", "<HttpApi>"),
    ],
)
def test_the_public_url(
    parameters: dict[str, str], told: str | None, called: str, mode: str, api_id: str | None
) -> None:
    stack = function_stack(**parameters)
    environment = stack.properties("Function")["Environment"]["Variables"]
    assert environment.get("ROLECALL_PUBLIC_URL") == told
    assert environment["ROLECALL_INVOKE_MODE"] == mode
    assert stack.outputs["PublicUrl"] == called
    assert stack.outputs["McpUrl"] == f"{called}/mcp"
    assert stack.outputs.get("ApiId") == api_id


def test_the_functions_environment() -> None:
    told = function_stack(Configuration='{"a":1}', ExternalId="us", **VAULT).properties("Function")["Environment"]
    assert told["Variables"] == {
        "ROLECALL_CONFIG": '{"a":1}',
        "ROLECALL_EXTERNAL_ID": "us",
        "ROLECALL_INVOKE_MODE": "BUFFERED",
        "ROLECALL_PUBLIC_URL": "https://<HttpApi>.execute-api.cn-north-1.amazonaws.com.cn",
        "ROLECALL_VAULT_TABLE": "tools-vault",
        "SSL_CERT_FILE": "/etc/pki/tls/certs/ca-bundle.crt",
    }


@pytest.mark.parametrize("command", ["true", "false"])
def test_the_container(command: str) -> None:
    (container,) = service_stack(EnableExecuteCommand=command).properties("TaskDefinition")["ContainerDefinitions"]
    assert container == {
        "Name": "rolecall",
        "Image": "registry.example.com/rolecall:1",
        "Essential": True,
        "Command": ["serve", "--listen", "0.0.0.0:8080"],
        "User": "65532:65532",
        "ReadonlyRootFilesystem": command == "false",
        "LinuxParameters": {"Capabilities": {"Drop": ["ALL"]}},
        "PortMappings": [{"ContainerPort": 8080, "Protocol": "tcp"}],
        "StopTimeout": 30,
        "Environment": [
            {"Name": "ROLECALL_CONFIG", "Value": "{}"},
            {"Name": "ROLECALL_EXTERNAL_ID", "Value": "tools"},
            {"Name": "ROLECALL_PUBLIC_URL", "Value": "https://mcp.example.com"},
            {"Name": "SSL_CERT_FILE", "Value": "/etc/ssl/certs/ca-certificates.crt"},
        ],
        "LogConfiguration": {
            "LogDriver": "awslogs",
            "Options": {
                "awslogs-group": "<LogGroup>",
                "awslogs-region": "cn-north-1",
                "awslogs-stream-prefix": "rolecall",
            },
        },
    }


# Networks.

NOTHING = {"IpProtocol": "-1", "CidrIp": "127.0.0.1/32", "Description": "Nothing"}
FROM_LOAD_BALANCER = {
    "IpProtocol": "tcp",
    "FromPort": 8080,
    "ToPort": 8080,
    "SourceSecurityGroupId": "sg-0123456789abcdef0",
    "Description": "Load balancer",
}


@pytest.mark.parametrize(
    ("stack", "ingress"),
    [(lambda **given: function_stack(**IN_VPC, **given), None), (service_stack, [FROM_LOAD_BALANCER])],
    ids=["function", "service"],
)
def test_only_https_goes_out_and_only_to_these_ranges(stack: Any, ingress: list[dict[str, Any]] | None) -> None:
    made = stack(EgressCidrBlocks="10.0.0.0/8, 192.0.2.7/32")
    (group,) = made.of_type("AWS::EC2::SecurityGroup").values()
    assert group["SecurityGroupEgress"] == [NOTHING]
    assert group.get("SecurityGroupIngress") == ingress
    https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "Description": "HTTPS", "GroupId": "<SecurityGroup>"}
    assert made.of_type("AWS::EC2::SecurityGroupEgress") == {
        "Egress100008": {**https, "CidrIp": "10.0.0.0/8"},
        "Egress19202732": {**https, "CidrIp": "192.0.2.7/32"},
    }
    assert made.of_type("AWS::EC2::SecurityGroupIngress") == {}


def test_without_a_vpc_there_is_no_security_group() -> None:
    stack = function_stack()
    assert stack.of_type("AWS::EC2::SecurityGroup") == stack.of_type("AWS::EC2::SecurityGroupEgress") == {}
    assert "VpcConfig" not in stack.properties("Function")


# What the templates do by hand.


@pytest.mark.parametrize(
    "priority",
    # Each last digit, and each number of nines before which one is added.
    [*range(1, 12), 18, 19, 20, 89, 98, 99, 100, 109, 199, 209, 989, 990, 999, 1000, 1999, 8999, 9899, 9989, 9998]
    + [9999, 10000, 10009, 10099, 10999, 19999, 29999, 39999, 48999, 49899, 49989, 49998, 49999],
)
def test_the_second_listener_rule_has_the_next_priority(priority: int) -> None:
    for stack in (function_stack(**ALB, ListenerPriority=str(priority)), service_stack(ListenerPriority=str(priority))):
        rules = stack.of_type("AWS::ElasticLoadBalancingV2::ListenerRule")
        assert {name: rule["Priority"] for name, rule in rules.items()} == {
            "CallsRule": str(priority),
            "MetadataRule": str(priority + 1),
        }


@pytest.mark.parametrize(
    ("template", "name", "numbers"),
    [
        (LAMBDA, "MemorySize", range(128, 10241)),
        (LAMBDA, "TimeoutSeconds", range(1, 901)),
        (LAMBDA, "ReservedConcurrency", range(-1, 60000)),
        (LAMBDA, "ProvisionedConcurrency", range(60000)),
        (LAMBDA, "ListenerPriority", range(1, 50000)),
        (ECS, "ListenerPriority", range(1, 50000)),
        (ECS, "Memory", range(512, 30721)),
        (ECS, "DesiredCount", range(60000)),
    ],
)
def test_a_pattern_takes_exactly_the_whole_numbers_of_its_range(
    template: dict[str, Any], name: str, numbers: range
) -> None:
    pattern = re.compile(template["Parameters"][name]["AllowedPattern"])
    assert [n for n in range(-1000, 60000) if pattern.fullmatch(str(n))] == list(numbers)
    some = str(numbers[len(numbers) // 2])
    others = ["", f"{some}.0", f"{some}.5", f"0{some}", f"+{some}", f"{some}e0", f" {some}", f"{some}\n"]
    assert [text for text in others if pattern.fullmatch(text)] == []


def test_the_rest_apis_deployment_is_that_of_its_body() -> None:
    body = LAMBDA["Resources"]["RestApi"]["Properties"]["Body"]
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    expected = f"RestApiDeployment{hashlib.sha256(canonical.encode()).hexdigest()[:8]}"
    deployments = [name for name, found in LAMBDA["Resources"].items() if name.startswith("RestApiDeployment")]
    assert deployments == [expected], f"the body has changed: rename the deployment to {expected}"
    assert function_stack(FrontDoor="rest_api").properties("RestApiStage")["DeploymentId"] == f"<{expected}>"
    assert LAMBDA["Resources"]["RestApi"]["Properties"]["Mode"] == "overwrite"


def test_a_release_publishes_a_version_and_the_old_ones_stay() -> None:
    stack = function_stack(Release="2026-11-20")
    # Lambda publishes no version of an unchanged function: the release is a part of it.
    assert stack.properties("Function")["Description"].endswith("(release 2026-11-20)")
    assert stack.properties("Version") == {"FunctionName": "<Function>", "Description": "2026-11-20"}
    version = LAMBDA["Resources"]["Version"]
    assert (version["DeletionPolicy"], version["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert stack.properties("Live")["FunctionVersion"] == "<Version>"
    assert function_stack(FunctionVersion="7").properties("Live")["FunctionVersion"] == "7"


@pytest.mark.parametrize("base", ["", "/tools"])
def test_the_listener_rules_have_five_values_at_most(base: str) -> None:
    for stack in (function_stack(**ALB, ListenerBasePath=base), service_stack(ListenerBasePath=base)):
        rules = stack.of_type("AWS::ElasticLoadBalancingV2::ListenerRule")
        host = {"Field": "host-header", "HostHeaderConfig": {"Values": ["mcp.example.com"]}}
        metadata = [f"{base}/.well-known/*", f"{base}/connect/*"]
        if base:
            metadata.append(f"/.well-known/oauth-protected-resource{base}/*")
        calls = [f"{base}/mcp", f"{base}/mcp/*", f"{base}/healthz"]
        for name, paths in (("CallsRule", calls), ("MetadataRule", metadata)):
            path = {"Field": "path-pattern", "PathPatternConfig": {"Values": paths}}
            assert rules[name]["Conditions"] == [path, host]
            assert len(paths) <= 3 and len(paths) + 1 <= 5


def test_what_the_templates_ask_for_is_what_awss_schemas_take(tmp_path: Path) -> None:
    """The linter sees parameters by their defaults alone: here it sees each front door, with all options on."""
    topic, version = "arn:aws-cn:sns:cn-north-1:999999999999:alarms", {"FunctionVersion": "7", "Release": "2"}
    web_acl = "arn:aws-cn:wafv2:cn-north-1:999999999999:regional/webacl/a/11111111-2222-3333-4444-555555555555"
    grants = {"SecretArns": ",".join(SECRETS), "SecretKmsKeyArns": KEY, "AssumableRoleArns": ",".join(ROLES)}
    subnets = "subnet-0123456789abcdef0,subnet-0123456789abcdef1"
    network = {"VpcId": IN_VPC["VpcId"], "PrivateSubnetIds": subnets, "EgressCidrBlocks": "10.0.0.0/8,192.0.2.7/32"}
    concurrency = {"ReservedConcurrency": "10", "ProvisionedConcurrency": "2"}
    options = {**grants, **network, **concurrency, **VAULT, **version, "KmsKeyArn": VAULT_KEY, "AlarmTopicArns": topic}
    stacks = {
        "http_api": function_stack(),
        "rest_api": function_stack(**options, FrontDoor="rest_api", TimeoutSeconds="900", WebAclArn=web_acl),
        "alb": function_stack(**options, **ALB, ListenerBasePath="/tools"),
        "function_url": function_stack(**options, FrontDoor="function_url"),
        "service": service_stack(PrivateSubnetIds=subnets),
        "service-all": service_stack(
            **grants,
            **network,
            KmsKeyArn=KEY,
            EcrRepositoryArn=REPOSITORY,
            EnableExecuteCommand="true",
            ListenerBasePath="/tools",
            Architecture="x86_64",
        ),
    }
    for name, stack in stacks.items():
        (tmp_path / f"{name}.json").write_text(stack.as_template())
    lint = [Path(sys.executable).with_name("cfn-lint"), *sorted(tmp_path.iterdir())]
    result = subprocess.run(lint, capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_small_enough_to_be_sent_as_it_is(name: str) -> None:
    assert (FOLDER / name).stat().st_size <= 51_200


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_parameter_has_its_place_and_its_label(name: str) -> None:
    interface = TEMPLATES[name]["Metadata"]["AWS::CloudFormation::Interface"]
    placed = [parameter for group in interface["ParameterGroups"] for parameter in group["Parameters"]]
    assert sorted(placed) == sorted(interface["ParameterLabels"]) == sorted(TEMPLATES[name]["Parameters"])


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_list_has_no_empty_member(name: str) -> None:
    template, needed = TEMPLATES[name], NEEDED if name == "rolecall.yaml" else ECS_NEEDED
    good = {"PrivateSubnetIds": "subnet-0a", "EgressCidrBlocks": "10.0.0.0/8", "SecretArns": SECRETS[0]}
    good |= {"SecretKmsKeyArns": KEY, "AssumableRoleArns": ROLES[0]}
    good |= {"AlarmTopicArns": "arn:aws-cn:sns:eu-west-1:999999999999:alarms"}
    lists = {key: found for key, found in template["Parameters"].items() if found["Type"] == "CommaDelimitedList"}
    for key, declared in lists.items():
        parameters = {**needed, **(IN_VPC if key == "PrivateSubnetIds" else {})}
        assert cloudformation.refusals(template, {**parameters, key: good[key]}) == []
        for bad in (f"{good[key]},", f",{good[key]}", f"{good[key]},,{good[key]}"):
            assert cloudformation.refusals(template, {**parameters, key: bad}) == [declared["ConstraintDescription"]]


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_secret_is_given_by_its_whole_arn(name: str) -> None:
    needed = NEEDED if name == "rolecall.yaml" else ECS_NEEDED
    sentence = TEMPLATES[name]["Parameters"]["SecretArns"]["ConstraintDescription"]
    part = SECRETS[0].removesuffix("-AbCdEf")
    assert cloudformation.refusals(TEMPLATES[name], {**needed, "SecretArns": part}) == [sentence]


def test_a_release_is_a_short_word() -> None:
    sentence = LAMBDA["Parameters"]["Release"]["ConstraintDescription"]
    for release in ("", "a b", "a" * 65, "1\n", "(1)"):
        assert cloudformation.refusals(LAMBDA, {**NEEDED, "Release": release}) == [sentence]
    for release in ("1", "a" * 64, "2026-11-20_v1.0"):
        assert cloudformation.refusals(LAMBDA, {**NEEDED, "Release": release}) == []


def test_a_package_is_a_zip() -> None:
    for key in ("", ".zip", "bootstrap", "bootstrap.zip/", "zip"):
        assert cloudformation.refusals(LAMBDA, {**NEEDED, "PackageKey": key}) == [
            "A package must be a file that ends in .zip, as `make package` makes it."
        ]
    assert cloudformation.refusals(LAMBDA, {**NEEDED, "PackageKey": "a/b 1.zip"}) == []


@pytest.mark.parametrize(
    ("cpu", "least", "most"),
    [(256, 512, 2048), (512, 1024, 4096), (1024, 2048, 8192), (2048, 4096, 16384), (4096, 8192, 30720)],
)
def test_cpu_and_memory_are_what_fargate_has(cpu: int, least: int, most: int) -> None:
    def said(memory: int) -> list[str]:
        return cloudformation.refusals(ECS, {**ECS_NEEDED, "Cpu": str(cpu), "Memory": str(memory)})

    step = 512 if cpu == 256 else 1024
    sizes = {512, *range(1024, 30721, 1024)}
    taken = {size for size in sizes if not said(size)}
    assert taken == {size for size in sizes if least <= size <= most}
    sentence = ECS["Rules"]["Memory256"]["Assertions"][0]["AssertDescription"]
    assert said(least + step // 2) == said(least + 1) == [sentence]


def test_the_access_logs_group_is_one_that_aws_lets_be_written_by_its_prefix() -> None:
    names = {group["LogGroupName"] for group in function_stack().of_type("AWS::Logs::LogGroup").values()}
    assert names == {"/aws/lambda/tools", "/aws/vendedlogs/apigateway/tools"}
