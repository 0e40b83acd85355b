"""The Lambda variant: each policy, permission and output exactly, and what its resources say."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ALB, KEY, LISTENER, ROLE, SECRET, SECRET_KEY, TOPIC, VPC, WEB_ACL, properties

Function = Callable[..., dict[str, Any]]

HERE = "${AWS::Region}:${AWS::AccountId}"
API_GATEWAY = "arn:${AWS::Partition}:apigateway:${AWS::Region}"
FUNCTION = f"arn:${{AWS::Partition}}:lambda:{HERE}:function:rolecall"
INTERFACES = [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
]
STATEMENTS = {
    "Logs": {
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": f"arn:${{AWS::Partition}}:logs:{HERE}:log-group:/aws/lambda/rolecall:*",
    },
    "ReadSecrets": {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": [SECRET]},
    "DecryptSecrets": {
        "Effect": "Allow",
        "Action": "kms:Decrypt",
        "Resource": [SECRET_KEY],
        "Condition": {"StringLike": {"kms:ViaService": "secretsmanager.*.${AWS::URLSuffix}"}},
    },
    "AssumeCallerRoles": {
        "Effect": "Allow",
        "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
        "Resource": [ROLE],
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
        "Resource": f"arn:${{AWS::Partition}}:dynamodb:{HERE}:table/rolecall-vault",
    },
    "VaultKey": {
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": KEY,
        "Condition": {"StringEquals": {"kms:ViaService": "dynamodb.${AWS::Region}.${AWS::URLSuffix}"}},
    },
    "Tracing": {
        "Effect": "Allow",
        "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
        "Resource": "*",
    },
    "NetworkInterfaces": {"Effect": "Allow", "Action": INTERFACES, "Resource": "*"},
    "NetworkInterfacesByLambdaOnly": {
        "Effect": "Deny",
        "Action": INTERFACES,
        "Resource": "*",
        "Condition": {"ArnEquals": {"lambda:SourceFunctionArn": FUNCTION}},
    },
}
OPTIONS = [
    ({"secret_arns": [SECRET]}, ["ReadSecrets"]),
    ({"secret_kms_key_arns": [SECRET_KEY]}, ["DecryptSecrets"]),
    ({"assumable_role_arns": [ROLE]}, ["AssumeCallerRoles"]),
    ({"enable_vault_table": True}, ["Vault"]),
    ({"enable_vault_table": True, "kms_key_arn": KEY}, ["Vault", "VaultKey"]),
    ({"kms_key_arn": KEY}, []),
    ({"enable_xray": True}, ["Tracing"]),
    (VPC, ["NetworkInterfaces", "NetworkInterfacesByLambdaOnly"]),
    ({}, []),
]
EVERYTHING = {name: value for given, _ in OPTIONS for name, value in given.items()}


def role(*sids: str) -> dict[str, Any]:
    """The function's role with these statements and no others."""
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
    statements = [{"Sid": sid, **STATEMENTS[sid]} for sid in sids]
    policy = {"Version": "2012-10-17", "Statement": statements}
    return {
        "RoleName": "rolecall-function",
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
        "Policies": [{"PolicyName": "function", "PolicyDocument": policy}],
        "Tags": [{"Key": "rolecall:stack", "Value": "rolecall"}],
    }


@pytest.mark.parametrize(("given", "sids"), OPTIONS)
def test_the_role_may_do_what_an_option_needs_and_nothing_else(
    function: Function, given: dict[str, Any], sids: list[str]
) -> None:
    template = function(**{"enable_xray": False, **given})
    assert properties(template, "AWS::IAM::Role") == [role("Logs", *sids)]
    assert not [name for name, resource in template["Resources"].items() if "Policy" in resource["Type"]]


def test_with_all_options_the_role_has_all_statements(function: Function) -> None:
    assert properties(function(**EVERYTHING), "AWS::IAM::Role") == [role(*STATEMENTS)]


def permission(principal: str, source: str) -> dict[str, Any]:
    """A permission to call the alias `live` and nothing else of the function."""
    return {
        "Action": "lambda:InvokeFunction",
        "FunctionName": "${Live}",
        "Principal": principal,
        "SourceArn": f"arn:${{AWS::Partition}}:{source}",
    }


@pytest.mark.parametrize(
    ("given", "permissions"),
    [
        ({}, [permission("apigateway.amazonaws.com", f"execute-api:{HERE}:${{HttpApi}}/*/*")]),
        (
            {"front_door": "rest_api"},
            [permission("apigateway.amazonaws.com", f"execute-api:{HERE}:${{RestApi}}/*/*/*")],
        ),
        (
            ALB,
            [permission("elasticloadbalancing.amazonaws.com", f"elasticloadbalancing:{HERE}:targetgroup/rolecall/*")],
        ),
        ({"front_door": "function_url"}, []),
    ],
)
def test_a_front_door_may_call_the_function_and_nobody_else(
    function: Function, given: dict[str, Any], permissions: list[dict[str, Any]]
) -> None:
    assert properties(function(**given), "AWS::Lambda::Permission") == permissions


HTTP_URL = "https://${HttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}"
REST_URL = "https://${RestApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/live"
URL_HOST = "${${FunctionUrl.FunctionUrl} by / at 2}"


@pytest.mark.parametrize(
    ("given", "public_url", "mode", "api_id"),
    [
        ({}, HTTP_URL, "BUFFERED", "${HttpApi}"),
        ({"front_door": "rest_api"}, REST_URL, "RESPONSE_STREAM", "${RestApi}"),
        ({**ALB, "listener_base_path": "/tools"}, "https://mcp.example.com/tools", "BUFFERED", None),
        ({"front_door": "function_url"}, None, "RESPONSE_STREAM", f"${{{URL_HOST} by . at 0}}"),
    ],
)
@pytest.mark.parametrize("own_url", [None, "https://own.example.com/mine"])
def test_the_function_and_the_outputs_know_the_url(
    function: Function,
    given: dict[str, Any],
    public_url: str | None,
    mode: str,
    api_id: str | None,
    own_url: str | None,
) -> None:
    template = function(public_url=own_url, **given)
    (lambda_function,) = properties(template, "AWS::Lambda::Function")
    known_url = own_url or public_url
    assert lambda_function["Environment"]["Variables"] == {
        "ROLECALL_CONFIG": '{"roles":{}}',
        "ROLECALL_EXTERNAL_ID": "rolecall",
        "ROLECALL_INVOKE_MODE": mode,
        "SSL_CERT_FILE": "/etc/pki/tls/certs/ca-bundle.crt",
        **({"ROLECALL_PUBLIC_URL": known_url} if known_url else {}),
    }
    url = known_url or f"https://{URL_HOST}"
    assert outputs(template) == {
        "McpUrl": f"{url}/mcp",
        "PublicUrl": url,
        "FunctionName": "${Function}",
        "FunctionArn": "${Function.Arn}",
        "AliasArn": "${Live}",
        "ExecutionRoleArn": "${FunctionRole.Arn}",
        "RoleTrustPolicy": trust_policy("rolecall"),
        "LogGroupName": "${LogGroup}",
        "DashboardName": "${Dashboard}",
        **({"ApiId": api_id} if api_id else {}),
    }


def outputs(template: dict[str, Any]) -> dict[str, Any]:
    """The stack's outputs. The trust policy is read, for it must be JSON."""
    values = {name: output["Value"] for name, output in template["Outputs"].items()}
    assert all(output["Description"] for output in template["Outputs"].values())
    return values | {"RoleTrustPolicy": json.loads(values["RoleTrustPolicy"])}


def trust_policy(external_id: str) -> dict[str, Any]:
    """What the role of a caller must trust."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "${FunctionRole.Arn}"},
        "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
        "Condition": {
            "StringEquals": {"sts:ExternalId": external_id},
            "StringLike": {"sts:SourceIdentity": "*"},
        },
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def test_options_have_their_outputs(function: Function) -> None:
    values = outputs(function(**VPC, enable_vault_table=True, external_id="shared-with-bob"))
    assert values["SecurityGroupId"] == "${SecurityGroup.GroupId}"
    assert values["VaultTableName"] == "${Vault}"
    assert values["RoleTrustPolicy"] == trust_policy("shared-with-bob")


def test_the_function_says_all_that_it_is(function: Function) -> None:
    given = {
        "architecture": "x86_64",
        "memory_size": 512,
        "timeout_seconds": 20,
        "reserved_concurrency": 5,
        "enable_vault_table": True,
        "external_id": "shared-with-bob",
        "environment": {"MINE": "1"},
        "tags": {"team": "data"},
    }
    (lambda_function,) = properties(function(**VPC, **given), "AWS::Lambda::Function")
    code = lambda_function.pop("Code")
    assert code["S3Key"].endswith(".zip")
    assert lambda_function == {
        "FunctionName": "rolecall",
        "Description": "Rolecall: an MCP endpoint where every call runs as its caller",
        "Role": "${FunctionRole.Arn}",
        "Runtime": "provided.al2023",
        "Handler": "bootstrap",
        "Architectures": ["x86_64"],
        "MemorySize": 512,
        "Timeout": 20,
        "ReservedConcurrentExecutions": 5,
        "Environment": {
            "Variables": {
                "ROLECALL_CONFIG": '{"roles":{}}',
                "ROLECALL_EXTERNAL_ID": "shared-with-bob",
                "ROLECALL_INVOKE_MODE": "BUFFERED",
                "SSL_CERT_FILE": "/etc/pki/tls/certs/ca-bundle.crt",
                "ROLECALL_PUBLIC_URL": HTTP_URL,
                "ROLECALL_VAULT_TABLE": "rolecall-vault",
                "MINE": "1",
            }
        },
        "LoggingConfig": {
            "LogFormat": "JSON",
            "ApplicationLogLevel": "TRACE",
            "SystemLogLevel": "INFO",
            "LogGroup": "${LogGroup}",
        },
        "TracingConfig": {"Mode": "Active"},
        "VpcConfig": {
            "SubnetIds": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
            "SecurityGroupIds": ["${SecurityGroup.GroupId}"],
        },
        "Tags": [{"Key": "rolecall:stack", "Value": "rolecall"}, {"Key": "team", "Value": "data"}],
    }


def test_without_options_the_function_has_no_more_than_it_needs(function: Function) -> None:
    template = function(enable_xray=False)
    (lambda_function,) = properties(template, "AWS::Lambda::Function")
    assert lambda_function["TracingConfig"] == {"Mode": "PassThrough"}
    assert lambda_function.keys().isdisjoint({"VpcConfig", "ReservedConcurrentExecutions"})
    kinds = {resource["Type"] for resource in template["Resources"].values()}
    assert kinds.isdisjoint(
        {"AWS::EC2::SecurityGroup", "AWS::DynamoDB::Table", "AWS::ElasticLoadBalancingV2::TargetGroup"}
    )


def version(template: dict[str, Any]) -> str:
    """The logical id of the one version."""
    (name,) = (name for name, resource in template["Resources"].items() if resource["Type"] == "AWS::Lambda::Version")
    return name


@pytest.mark.parametrize(
    "change",
    [
        {"configuration": '{"roles":{"allow":[]}}'},
        {"memory_size": 512},
        {"architecture": "x86_64"},
        {"environment": {"MINE": "1"}},
        {"external_id": "shared-with-bob"},
        {"enable_xray": False},
        {"front_door": "rest_api"},
        VPC,
    ],
)
def test_a_change_of_the_function_publishes_a_version(function: Function, change: dict[str, Any]) -> None:
    assert version(function(**change)) != version(function())


def test_a_change_of_the_code_publishes_a_version(function: Function, package: Path, tmp_path: Path) -> None:
    other = tmp_path / "bootstrap.zip"
    with zipfile.ZipFile(other, "w") as zip_file:
        zip_file.writestr("bootstrap", "two")
    assert version(function(package_path=str(other))) != version(function())
    same = tmp_path / "same.zip"
    same.write_bytes(package.read_bytes())
    assert version(function(package_path=str(same))) == version(function())


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"reserved_concurrency": 5},
        {"provisioned_concurrency": 2},
        {"tags": {"team": "data"}},
        {"log_retention_in_days": 7},
        {"function_version": "7"},
        {"secret_arns": [SECRET]},
    ],
)
def test_what_lambda_would_refuse_to_publish_publishes_no_version(function: Function, change: dict[str, Any]) -> None:
    assert version(function(**change)) == version(function())


def test_versions_stay_and_the_alias_points_to_one(function: Function) -> None:
    template = function(provisioned_concurrency=2)
    resource = template["Resources"][version(template)]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert properties(template, "AWS::Lambda::Alias") == [
        {
            "Name": "live",
            "FunctionName": "${Function}",
            "FunctionVersion": f"${{{version(template)}.Version}}",
            "ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 2},
        }
    ]
    assert properties(function(function_version="7"), "AWS::Lambda::Alias") == [
        {"Name": "live", "FunctionName": "${Function}", "FunctionVersion": "7"}
    ]


def test_logs_are_kept_as_long_as_asked_and_encrypted(function: Function) -> None:
    groups = properties(function(log_retention_in_days=7, kms_key_arn=KEY), "AWS::Logs::LogGroup")
    assert [(group["LogGroupName"], group["RetentionInDays"], group["KmsKeyId"]) for group in groups] == [
        ("/aws/vendedlogs/apigateway/rolecall", 7, KEY),
        ("/aws/lambda/rolecall", 7, KEY),
    ]
    assert all("KmsKeyId" not in group for group in properties(function(), "AWS::Logs::LogGroup"))


def test_the_http_api_calls_the_alias_and_logs_what_it_refuses(function: Function) -> None:
    template = function()
    called = f"{API_GATEWAY}:lambda:path/2015-03-31/functions/{FUNCTION}:live"
    assert properties(template, "AWS::ApiGatewayV2::Integration") == [
        {
            "ApiId": "${HttpApi}",
            "IntegrationType": "AWS_PROXY",
            "IntegrationUri": f"{called}/invocations",
            "PayloadFormatVersion": "2.0",
            "TimeoutInMillis": 30000,
        }
    ]
    assert properties(template, "AWS::ApiGatewayV2::Route") == [
        {"ApiId": "${HttpApi}", "RouteKey": "$default", "Target": "integrations/${HttpApiIntegration}"}
    ]
    (stage,) = properties(template, "AWS::ApiGatewayV2::Stage")
    logged = stage["AccessLogSettings"]
    assert (stage["StageName"], stage["AutoDeploy"]) == ("$default", True)
    assert logged["DestinationArn"] == f"arn:${{AWS::Partition}}:logs:{HERE}:log-group:${{HttpApiLogGroup}}"
    assert json.loads(logged["Format"])["integrationError"] == "$context.integrationErrorMessage"


def test_the_rest_api_streams_and_has_a_deployment_for_each_body(function: Function) -> None:
    template = function(front_door="rest_api", web_acl_arn=WEB_ACL)
    (api,) = properties(template, "AWS::ApiGateway::RestApi")
    called = f"{API_GATEWAY}:lambda:path/2021-11-15/functions/{FUNCTION}:live"
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    assert api["Mode"] == "overwrite"
    assert api["Body"]["paths"] == {
        "/{proxy+}": {
            "x-amazon-apigateway-any-method": {
                "parameters": [{"name": "proxy", "in": "path", "required": True, "schema": {"type": "string"}}],
                "x-amazon-apigateway-integration": {
                    "type": "aws_proxy",
                    "httpMethod": "POST",
                    "uri": f"{called}/response-streaming-invocations",
                    "responseTransferMode": "STREAM",
                    "timeoutInMillis": 900000,
                    "passthroughBehavior": "when_no_match",
                },
            }
        }
    }
    unauthorized = api["Body"]["x-amazon-apigateway-gateway-responses"]["UNAUTHORIZED"]
    assert unauthorized["responseParameters"] == {"gatewayresponse.header.WWW-Authenticate": "'Bearer'"}
    deployment, other = (
        next(name for name in each["Resources"] if name.startswith("RestApiDeployment"))
        for each in (template, function(front_door="rest_api", name="other"))
    )
    assert deployment != other
    (stage,) = properties(template, "AWS::ApiGateway::Stage")
    assert (stage["StageName"], stage["DeploymentId"], stage["TracingEnabled"]) == ("live", f"${{{deployment}}}", True)
    assert properties(template, "AWS::WAFv2::WebACLAssociation") == [
        {
            "WebACLArn": WEB_ACL,
            "ResourceArn": f"{API_GATEWAY}::/restapis/${{RestApi}}/stages/${{RestApiStage}}",
        }
    ]


@pytest.mark.parametrize(
    ("base", "metadata"),
    [
        ("", ["/.well-known/*", "/connect/*"]),
        ("/tools", ["/tools/.well-known/*", "/tools/connect/*", "/.well-known/oauth-protected-resource/tools/*"]),
    ],
)
def test_the_load_balancer_forwards_only_rolecalls_paths(function: Function, base: str, metadata: list[str]) -> None:
    template = function(**ALB, listener_base_path=base, listener_priority=7)
    calls = [f"{base}/mcp", f"{base}/mcp/*", f"{base}/healthz"]
    host = {"Field": "host-header", "HostHeaderConfig": {"Values": ["mcp.example.com"]}}
    assert properties(template, "AWS::ElasticLoadBalancingV2::ListenerRule") == [
        {
            "ListenerArn": LISTENER,
            "Priority": priority,
            "Actions": [{"Type": "forward", "TargetGroupArn": "${TargetGroup}"}],
            "Conditions": [{"Field": "path-pattern", "PathPatternConfig": {"Values": paths}}, host],
            "Tags": [{"Key": "rolecall:stack", "Value": "rolecall"}],
        }
        for priority, paths in ((7, calls), (8, metadata))
    ]
    group = template["Resources"]["TargetGroup"]
    assert group["DependsOn"] == ["AlbPermission"]
    assert group["Properties"] == {
        "Name": "rolecall",
        "TargetType": "lambda",
        "HealthCheckEnabled": False,
        "HealthCheckIntervalSeconds": 35,
        "HealthCheckTimeoutSeconds": 30,
        "TargetGroupAttributes": [{"Key": "lambda.multi_value_headers.enabled", "Value": "true"}],
        "Targets": [{"Id": "${Live}"}],
        "Tags": [{"Key": "rolecall:stack", "Value": "rolecall"}],
    }


def test_without_a_host_the_listener_forwards_for_any(function: Function) -> None:
    template = function(front_door="alb", alb_listener_arn=LISTENER, public_url="https://mcp.example.com")
    for rule in properties(template, "AWS::ElasticLoadBalancingV2::ListenerRule"):
        assert [condition["Field"] for condition in rule["Conditions"]] == ["path-pattern"]


def test_a_function_url_is_for_those_who_sign(function: Function) -> None:
    template = function(front_door="function_url")
    assert template["Resources"]["FunctionUrl"] == {
        "Type": "AWS::Lambda::Url",
        "DependsOn": ["Live"],
        "Properties": {
            "AuthType": "AWS_IAM",
            "InvokeMode": "RESPONSE_STREAM",
            "Qualifier": "live",
            "TargetFunctionArn": "${Function.Arn}",
        },
    }


def test_in_a_vpc_nothing_comes_in_and_https_goes_out(function: Function) -> None:
    template = function(**VPC, egress_cidr_blocks=["10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8"])
    https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "Description": "HTTPS"}
    assert properties(template, "AWS::EC2::SecurityGroup") == [
        {
            "GroupName": "rolecall",
            "GroupDescription": "Rolecall rolecall: egress only",
            "VpcId": "vpc-0123456789abcdef0",
            "SecurityGroupEgress": [{"CidrIp": "10.0.0.0/8", **https}, {"CidrIp": "10.1.0.0/16", **https}],
            "Tags": [{"Key": "rolecall:stack", "Value": "rolecall"}],
        }
    ]


@pytest.mark.parametrize("key", [None, KEY])
def test_the_vaults_table_forgets_can_be_restored_and_is_encrypted(function: Function, key: str | None) -> None:
    template = function(enable_vault_table=True, kms_key_arn=key, enable_deletion_protection=key is None)
    (table,) = properties(template, "AWS::DynamoDB::Table")
    assert table == {
        "TableName": "rolecall-vault",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", **({"KMSMasterKeyId": key} if key else {})},
        "DeletionProtectionEnabled": key is None,
        "Tags": [{"Key": "rolecall:stack", "Value": "rolecall"}],
    }


def test_alarms_tell_the_topics_of_each_kind_of_failure(function: Function) -> None:
    alarms = properties(function(alarm_topic_arns=[TOPIC], timeout_seconds=20), "AWS::CloudWatch::Alarm")
    for alarm in alarms:
        assert alarm.pop("AlarmActions") == alarm.pop("OKActions") == [TOPIC]
        assert alarm.pop("TreatMissingData") == "notBreaching"
        assert alarm.pop("ComparisonOperator") == "GreaterThanOrEqualToThreshold"
        assert alarm.pop("Tags") == [{"Key": "rolecall:stack", "Value": "rolecall"}]
    *counted, duration = alarms
    of_function = [{"Name": "FunctionName", "Value": "${Function}"}]
    assert counted == [
        {
            "AlarmName": f"rolecall-{name}",
            "AlarmDescription": description,
            "Namespace": namespace,
            "MetricName": metric,
            "Dimensions": of_function,
            "Statistic": "Sum",
            "Period": 300,
            "EvaluationPeriods": 1,
            "Threshold": threshold,
        }
        for name, namespace, metric, threshold, description in (
            ("errors", "AWS/Lambda", "Errors", 1, "The function failed."),
            ("throttles", "AWS/Lambda", "Throttles", 1, "The function was throttled."),
            (
                "auth-failures",
                "Rolecall",
                "AuthFailures",
                100,
                "Many requests were refused for their token or role.",
            ),
            (
                "auth-unavailable",
                "Rolecall",
                "AuthUnavailable",
                1,
                "A secret, or an issuer's keys or verdict, could not be had.",
            ),
            ("role-assumption-failures", "Rolecall", "RoleAssumptionFailure", 5, "STS refused or did not answer."),
        )
    ]
    metric = {"Namespace": "AWS/Lambda", "MetricName": "Duration", "Dimensions": of_function}
    assert duration == {
        "AlarmName": "rolecall-duration",
        "AlarmDescription": "Requests come near the timeout.",
        "EvaluationPeriods": 3,
        "Threshold": 80,
        "Metrics": [
            {
                "Id": "e1",
                "Expression": "100 * m1 / 20000",
                "Label": "Percent of the timeout",
                "ReturnData": True,
            },
            {"Id": "m1", "MetricStat": {"Metric": metric, "Period": 300, "Stat": "p99"}, "ReturnData": False},
        ],
    }


def test_the_dashboard_is_a_page_of_six(function: Function) -> None:
    (dashboard,) = properties(function(), "AWS::CloudWatch::Dashboard")
    widgets = json.loads(dashboard["DashboardBody"])["widgets"]
    assert [(widget["properties"]["title"], widget["x"], widget["y"]) for widget in widgets] == [
        ("Requests", 0, 0),
        ("Duration", 8, 0),
        ("Instances", 16, 0),
        ("Tools", 0, 6),
        ("Refusals", 8, 6),
        ("Role assumption", 16, 6),
    ]
    assert widgets[5]["properties"] == {
        "title": "Role assumption",
        "region": "${AWS::Region}",
        "period": 300,
        "metrics": [
            ["Rolecall", "RoleAssumptionLatency", "FunctionName", "${Function}", {"stat": "p50"}],
            ["Rolecall", "RoleAssumptionLatency", "FunctionName", "${Function}", {"stat": "p99"}],
        ],
    }
    assert "Tags" not in dashboard
