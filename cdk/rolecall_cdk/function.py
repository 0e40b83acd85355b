"""Rolecall on Lambda: the function, its role, logs, versions and alias, the front door that is asked for, the vault.

In come `RolecallInputs`; out go the resources of one deployment, and its outputs as attributes and as outputs of the
stack.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from aws_cdk import Fn, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from rolecall_cdk import front_doors, monitoring
from rolecall_cdk.inputs import RolecallInputs
from rolecall_cdk.shared import (
    Statement,
    acknowledge,
    allow,
    arn,
    caller_statements,
    external_id,
    listener_url,
    log_group,
    logs_statement,
    role,
    role_trust_policy,
    security_group,
    tag,
    trusted_by,
    write_outputs,
)

OUTPUTS = {
    "mcp_url": "URL that MCP clients connect to.",
    "public_url": "URL of the server, without a path of its own: what server.publicUrl must be.",
    "function_name": "Name of the function.",
    "function_arn": "ARN of the function.",
    "alias_arn": "ARN of the alias `live`, which the front door calls.",
    "execution_role_arn": "Role that the server runs as, which the roles of callers must trust.",
    "role_trust_policy": "Trust policy that each role of a caller needs, as JSON.",
    "log_group_name": "Log group of the server.",
    "vault_table_name": "Name of the vault's table, if there is one.",
    "security_group_id": "Security group of the function, if it is in a VPC.",
    "api_id": "Id of the API or function URL: for roles.iam.frontDoors, and for a custom domain.",
    "dashboard_name": "Name of the CloudWatch dashboard.",
}

NETWORK_INTERFACE_ACTIONS = [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
]

EVERYTHING = "AwsSolutions-IAM5[Resource::*]"
STREAMS_OF_LOG_GROUP = "The streams of the one log group: Lambda names them."


class Rolecall(Construct):
    """One deployment of Rolecall on Lambda."""

    def __init__(self, scope: Construct, construct_id: str, inputs: RolecallInputs) -> None:
        super().__init__(scope, construct_id)
        stack = Stack.of(self)
        # By name, where a reference would make a circle: front doors name the function, and its environment names them.
        function_arn = arn(stack, "lambda", f"function:{inputs.name}")
        called_arn = f"{function_arn}:live"

        # An API is there before the function, whose environment has the API's URL; a function URL and a target, after.
        api = front_doors.api(self, inputs, called_arn)
        public_url = known_public_url(inputs, api)

        group = log_group(self, "LogGroup", f"/aws/lambda/{inputs.name}", inputs)
        table = vault_table(self, inputs) if inputs.enable_vault_table else None
        statements = function_statements(stack, inputs, function_arn)
        execution_role = role(
            self, f"{inputs.name}-function", "function", trusted_by("lambda.amazonaws.com"), statements
        )
        acknowledge_wildcards(execution_role, inputs)
        network = security_group(self, inputs, f"Rolecall {inputs.name}: egress only") if inputs.vpc_id else None
        if network:
            # Lambda takes its network interfaces away as the function's role, some 20 minutes after the function is
            # gone: the role stays until they are, and with them this group.
            network.add_resource_dependency(execution_role)

        properties = function_properties(self, inputs, public_url, execution_role.attr_arn, group, network)
        function = lambda_.CfnFunction(
            self,
            "Function",
            **properties,
            # No version differs by this one: a new limit publishes none.
            reserved_concurrent_executions=None if inputs.reserved_concurrency < 0 else inputs.reserved_concurrency,
        )
        alias = live_alias(self, inputs, function, published_version(self, function, properties))
        url = None
        if api:
            front_doors.let_api_call(self, inputs, api, alias)
        elif inputs.front_door == "alb":
            front_doors.load_balancer(self, inputs, alias)
        else:
            url = front_doors.function_url(self, function, alias)
        monitoring.alarms(self, inputs, function.ref)
        dashboard = monitoring.dashboard(self, inputs, function.ref)

        # A function URL is known only when the function is: it is an output, and nothing in the environment.
        url_host = Fn.select(2, Fn.split("/", url.attr_function_url)) if url else None
        self.public_url = public_url or f"https://{url_host}"
        self.mcp_url = f"{self.public_url}/mcp"
        self.function_name = function.ref
        self.function_arn = function.attr_arn
        self.alias_arn = alias.ref
        self.execution_role_arn = execution_role.attr_arn
        self.role_trust_policy = role_trust_policy(inputs, execution_role.attr_arn)
        self.log_group_name = group.ref
        self.vault_table_name = table.ref if table else None
        self.security_group_id = network.attr_group_id if network else None
        self.api_id = api.id if api else Fn.select(0, Fn.split(".", url_host)) if url_host else None
        self.dashboard_name = dashboard.ref
        tag(self, inputs)
        write_outputs(self, OUTPUTS)


def known_public_url(inputs: RolecallInputs, api: front_doors.Api | None) -> str | None:
    """The URL that clients use, where it is known before the function is."""
    if inputs.public_url or inputs.front_door == "alb":
        return listener_url(inputs)
    return api.url if api else None


def function_statements(stack: Stack, inputs: RolecallInputs, function_arn: str) -> list[Statement]:
    """What the server itself may do; what it does for its callers, their roles decide."""
    statements = [logs_statement(stack, f"/aws/lambda/{inputs.name}"), *caller_statements(stack, inputs)]
    if inputs.enable_vault_table:
        items = [f"dynamodb:{action}" for action in ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query")]
        statements.append(allow("Vault", items, arn(stack, "dynamodb", f"table/{inputs.name}-vault")))
    if inputs.enable_vault_table and inputs.kms_key_arn:
        through = {"StringEquals": {"kms:ViaService": f"dynamodb.{stack.region}.{stack.url_suffix}"}}
        statements.append(allow("VaultKey", ["kms:Decrypt", "kms:GenerateDataKey"], inputs.kms_key_arn, through))
    if inputs.enable_xray:
        statements.append(allow("Tracing", ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*"))
    if inputs.vpc_id:
        # Lambda makes the function's network interfaces as the function's role. The code itself may not.
        by_function = {"ArnEquals": {"lambda:SourceFunctionArn": function_arn}}
        interfaces = allow("NetworkInterfaces", NETWORK_INTERFACE_ACTIONS, "*")
        own = {"Sid": "NetworkInterfacesByLambdaOnly", "Effect": "Deny", "Condition": by_function}
        statements += [interfaces, interfaces | own]
    return statements


def acknowledge_wildcards(execution_role: Any, inputs: RolecallInputs) -> None:
    """The wildcards of the function's role."""
    streams = f"arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:log-group:/aws/lambda/{inputs.name}:*"
    acknowledge(execution_role, {f"AwsSolutions-IAM5[Resource::{streams}]": STREAMS_OF_LOG_GROUP})
    if inputs.enable_xray or inputs.vpc_id:
        reason = "X-Ray has no resources to name, and Lambda makes network interfaces whose ids nobody knows before."
        acknowledge(execution_role, {EVERYTHING: reason})


def function_properties(
    scope: Construct,
    inputs: RolecallInputs,
    public_url: str | None,
    role_arn: str,
    group: logs.CfnLogGroup,
    network: ec2.CfnSecurityGroup | None,
) -> dict[str, Any]:
    """The function, but for what may change without a new version."""
    package = assets.Asset(scope, "Package", path=inputs.package_path)
    function = lambda_.CfnFunction
    return {
        "function_name": inputs.name,
        "description": "Rolecall: an MCP endpoint where every call runs as its caller",
        "role": role_arn,
        "runtime": "provided.al2023",
        "handler": "bootstrap",
        "architectures": [inputs.architecture],
        "code": function.CodeProperty(s3_bucket=package.s3_bucket_name, s3_key=package.s3_object_key),
        "memory_size": inputs.memory_size,
        "timeout": inputs.timeout_seconds,
        "environment": function.EnvironmentProperty(variables=function_environment(inputs, public_url)),
        # Rolecall's lines are JSON already, and telemetry.level decides which there are: Lambda filters none of them.
        "logging_config": function.LoggingConfigProperty(
            log_format="JSON", application_log_level="TRACE", system_log_level="INFO", log_group=group.ref
        ),
        "tracing_config": function.TracingConfigProperty(mode="Active" if inputs.enable_xray else "PassThrough"),
        "vpc_config": network
        and function.VpcConfigProperty(
            subnet_ids=list(inputs.private_subnet_ids), security_group_ids=[network.attr_group_id]
        ),
    }


def function_environment(inputs: RolecallInputs, public_url: str | None) -> dict[str, str]:
    """The function's environment: its configuration, and what the configuration takes from there."""
    streams = inputs.front_door in ("rest_api", "function_url")
    variables = {
        "ROLECALL_CONFIG": inputs.configuration,
        "ROLECALL_EXTERNAL_ID": external_id(inputs),
        "ROLECALL_INVOKE_MODE": "RESPONSE_STREAM" if streams else "BUFFERED",
        # The image's bundle, by one path: a search for it costs time at each start.
        "SSL_CERT_FILE": "/etc/pki/tls/certs/ca-bundle.crt",
    }
    if public_url:
        variables["ROLECALL_PUBLIC_URL"] = public_url
    if inputs.enable_vault_table:
        variables["ROLECALL_VAULT_TABLE"] = f"{inputs.name}-vault"
    return variables | dict(inputs.environment)


def published_version(
    scope: Construct, function: lambda_.CfnFunction, properties: dict[str, Any]
) -> lambda_.CfnVersion:
    """A version of the code and configuration as they are. Its logical id has their hash: a change makes another.

    Lambda refuses to publish the same once more, so that nothing else may be in the hash.
    """
    resolved = Stack.of(scope).resolve(properties)
    digest = hashlib.sha256(json.dumps(resolved, sort_keys=True).encode()).hexdigest()[:16]
    version = lambda_.CfnVersion(scope, f"Version{digest}", function_name=function.ref)
    # To roll back to; but not one of a deployment that failed: the next attempt has the same hash, and Lambda would refuse to
    # publish the same once more.
    version.apply_removal_policy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
    return version


def live_alias(
    scope: Construct, inputs: RolecallInputs, function: lambda_.CfnFunction, version: lambda_.CfnVersion
) -> lambda_.CfnAlias:
    """What front doors call: the newest version, or the one to roll back to."""
    provisioned = lambda_.CfnAlias.ProvisionedConcurrencyConfigurationProperty(
        provisioned_concurrent_executions=inputs.provisioned_concurrency
    )
    return lambda_.CfnAlias(
        scope,
        "Live",
        name="live",
        function_name=function.ref,
        function_version=inputs.function_version or version.attr_version,
        provisioned_concurrency_config=provisioned if inputs.provisioned_concurrency > 0 else None,
    )


def vault_table(scope: Construct, inputs: RolecallInputs) -> dynamodb.CfnTable:
    """The table for users' own secrets. They are sealed before they come here."""
    table = dynamodb.CfnTable
    return table(
        scope,
        "Vault",
        table_name=f"{inputs.name}-vault",
        billing_mode="PAY_PER_REQUEST",
        attribute_definitions=[
            table.AttributeDefinitionProperty(attribute_name=name, attribute_type="S") for name in ("pk", "sk")
        ],
        key_schema=[
            table.KeySchemaProperty(attribute_name="pk", key_type="HASH"),
            table.KeySchemaProperty(attribute_name="sk", key_type="RANGE"),
        ],
        time_to_live_specification=table.TimeToLiveSpecificationProperty(attribute_name="expires_at", enabled=True),
        point_in_time_recovery_specification=table.PointInTimeRecoverySpecificationProperty(
            point_in_time_recovery_enabled=True
        ),
        # Without a key of one's own, AWS's key for DynamoDB.
        sse_specification=table.SSESpecificationProperty(
            sse_enabled=True, sse_type="KMS", kms_master_key_id=inputs.kms_key_arn
        ),
        deletion_protection_enabled=inputs.enable_deletion_protection,
    )
