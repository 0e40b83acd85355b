"""What both variants do alike: policies, listener rules, network rules, logs, tags and outputs.

In come inputs and names; out go statements and resources. Policies are written out as the documents that AWS reads:
what a role may do is to be seen here, and is not left to a helper.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aws_cdk import Acknowledgment, CfnOutput, CfnResource, Stack, Tags, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from rolecall_cdk.inputs import SharedInputs

Statement = dict[str, Any]

ASSUME_ROLE_ACTIONS = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]


def arn(stack: Stack, service: str, resource: str) -> str:
    """The ARN of a resource in the stack's own account and region, by name."""
    return f"arn:{stack.partition}:{service}:{stack.region}:{stack.account}:{resource}"


def allow(
    sid: str, action: str | list[str], resource: str | list[str], condition: dict[str, Any] | None = None
) -> Statement:
    """A statement of a policy that allows something."""
    statement: Statement = {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource}
    return statement if condition is None else statement | {"Condition": condition}


def document(*statements: Statement) -> dict[str, Any]:
    """A policy of statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def trusted_by(service: str, condition: dict[str, Any] | None = None) -> dict[str, Any]:
    """The trust policy of a role that a service of AWS assumes."""
    statement: Statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": service}}
    return document(statement if condition is None else statement | {"Condition": condition})


def role(
    scope: Construct, name: str, policy_name: str, trust: dict[str, Any], statements: list[Statement]
) -> iam.CfnRole:
    """A role with one inline policy; with none where there is nothing to allow."""
    policy = iam.CfnRole.PolicyProperty(policy_name=policy_name, policy_document=document(*statements))
    return iam.CfnRole(
        scope,
        f"{policy_name.capitalize()}Role",
        role_name=name,
        assume_role_policy_document=trust,
        policies=[policy] if statements else None,
    )


def logs_statement(stack: Stack, log_group_name: str) -> Statement:
    """To write the streams of one log group."""
    return allow(
        "Logs", ["logs:CreateLogStream", "logs:PutLogEvents"], f"{arn(stack, 'logs', f'log-group:{log_group_name}')}:*"
    )


def caller_statements(stack: Stack, inputs: SharedInputs) -> list[Statement]:
    """To read the secrets and to assume the roles that are given, and no others."""
    statements = []
    if inputs.secret_arns:
        statements.append(allow("ReadSecrets", "secretsmanager:GetSecretValue", list(inputs.secret_arns)))
    if inputs.secret_kms_key_arns:
        through = {"StringLike": {"kms:ViaService": f"secretsmanager.*.{stack.url_suffix}"}}
        statements.append(allow("DecryptSecrets", "kms:Decrypt", list(inputs.secret_kms_key_arns), through))
    if inputs.assumable_role_arns:
        statements.append(allow("AssumeCallerRoles", ASSUME_ROLE_ACTIONS, list(inputs.assumable_role_arns)))
    return statements


def role_trust_policy(inputs: SharedInputs, role_arn: str) -> str:
    """The trust policy that each role of a caller needs, as JSON. An ARN needs no escape."""
    return json.dumps(
        document(
            {
                "Effect": "Allow",
                "Principal": {"AWS": role_arn},
                "Action": ASSUME_ROLE_ACTIONS,
                "Condition": {
                    "StringEquals": {"sts:ExternalId": external_id(inputs)},
                    "StringLike": {"sts:SourceIdentity": "*"},
                },
            }
        )
    )


def external_id(inputs: SharedInputs) -> str:
    """What is sent with each assumption of a role."""
    return inputs.external_id or inputs.name


def log_group(scope: Construct, construct_id: str, name: str, inputs: SharedInputs) -> logs.CfnLogGroup:
    """A log group that forgets, encrypted with the given key or CloudWatch's own."""
    return logs.CfnLogGroup(
        scope,
        construct_id,
        log_group_name=name,
        retention_in_days=inputs.log_retention_in_days,
        kms_key_id=inputs.kms_key_arn,
    )


def listener_url(inputs: SharedInputs) -> str:
    """The URL that clients use: where they reach the listener rules, if nobody says otherwise."""
    return inputs.public_url or f"https://{inputs.listener_host}{inputs.listener_base_path}"


def listener_rules(scope: Construct, inputs: SharedInputs, target_group_arn: str) -> list[elb.CfnListenerRule]:
    """The rules that forward to the target group: two, for a condition takes three values at most and a rule five."""
    base = inputs.listener_base_path
    calls = [f"{base}/mcp", f"{base}/mcp/*", f"{base}/healthz"]
    metadata = [f"{base}/.well-known/*", f"{base}/connect/*"]
    if base:
        # Clients that guess ask for the metadata beside the base path (RFC 9728, section 3.1).
        metadata.append(f"/.well-known/oauth-protected-resource{base}/*")
    return [
        elb.CfnListenerRule(
            scope,
            construct_id,
            listener_arn=inputs.alb_listener_arn,
            priority=inputs.listener_priority + position,
            actions=[elb.CfnListenerRule.ActionProperty(type="forward", target_group_arn=target_group_arn)],
            conditions=listener_conditions(paths, inputs.listener_host),
        )
        for position, (construct_id, paths) in enumerate({"CallsRule": calls, "MetadataRule": metadata}.items())
    ]


def listener_conditions(paths: list[str], host: str | None) -> list[elb.CfnListenerRule.RuleConditionProperty]:
    """Which requests a rule is for."""
    rule = elb.CfnListenerRule
    conditions = [
        rule.RuleConditionProperty(
            field="path-pattern", path_pattern_config=rule.PathPatternConfigProperty(values=paths)
        )
    ]
    if host is not None:
        conditions.append(
            rule.RuleConditionProperty(
                field="host-header", host_header_config=rule.HostHeaderConfigProperty(values=[host])
            )
        )
    return conditions


def security_group(
    scope: Construct,
    inputs: SharedInputs,
    description: str,
    ingress: list[ec2.CfnSecurityGroup.IngressProperty] | None = None,
) -> ec2.CfnSecurityGroup:
    """A security group that lets out HTTPS to the given ranges, each once."""
    return ec2.CfnSecurityGroup(
        scope,
        "SecurityGroup",
        group_name=inputs.name,
        group_description=description,
        vpc_id=inputs.vpc_id,
        security_group_ingress=ingress,
        security_group_egress=[
            ec2.CfnSecurityGroup.EgressProperty(
                ip_protocol="tcp", from_port=443, to_port=443, cidr_ip=cidr, description="HTTPS"
            )
            for cidr in dict.fromkeys(inputs.egress_cidr_blocks)
        ],
    )


def tag(scope: Construct, inputs: SharedInputs) -> None:
    """Tags on all that is in a construct. Dashboards have none: not every definition of this stack could set them."""
    for name, value in ({"rolecall:stack": inputs.name} | dict(inputs.tags)).items():
        Tags.of(scope).add(name, value, exclude_resource_types=["AWS::CloudWatch::Dashboard"])


def write_outputs(scope: Construct, descriptions: Mapping[str, str]) -> None:
    """The stack's outputs: the attributes of a construct that have a value, by the names that every definition uses."""
    for name, description in descriptions.items():
        if (value := getattr(scope, name)) is not None:
            logical_id = "".join(map(str.capitalize, name.split("_")))
            CfnOutput(scope, f"{logical_id}Output", value=value, description=description).override_logical_id(
                logical_id
            )


def acknowledge(resource: CfnResource, reasons: Mapping[str, str]) -> None:
    """Findings of cdk-nag that are meant so, each with its reason. The tests fail on one that is not needed."""
    Validations.of(resource).acknowledge(*(Acknowledgment(id=rule, reason=reason) for rule, reason in reasons.items()))
