"""The ECS variant: each policy and output exactly, and what its resources say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from conftest import KEY, LISTENER, REPOSITORY, ROLE, SECRET, SECRET_KEY, properties

Service = Callable[..., dict[str, Any]]

TAGS = [{"Key": "rolecall:stack", "Value": "rolecall"}]
TASK_STATEMENTS = {
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
}
EXECUTION_STATEMENTS = {
    "Logs": {
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:/ecs/rolecall:*",
    },
    "RegistryToken": {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
    "Pull": {
        "Effect": "Allow",
        "Action": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        "Resource": REPOSITORY,
    },
}
OPTIONS = [
    ({}, [], ["Logs"]),
    ({"secret_arns": [SECRET]}, ["ReadSecrets"], ["Logs"]),
    ({"secret_kms_key_arns": [SECRET_KEY]}, ["DecryptSecrets"], ["Logs"]),
    ({"assumable_role_arns": [ROLE]}, ["AssumeCallerRoles"], ["Logs"]),
    ({"enable_execute_command": True}, ["ExecuteCommand"], ["Logs"]),
    ({"ecr_repository_arn": REPOSITORY}, [], ["Logs", "RegistryToken", "Pull"]),
]
EVERYTHING = {name: value for given, *_ in OPTIONS for name, value in given.items()}


def role(name: str, statements: dict[str, Any], sids: list[str]) -> dict[str, Any]:
    """A role that ECS assumes for this account, with these statements and no others."""
    trust = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"},
        "Condition": {"StringEquals": {"aws:SourceAccount": "${AWS::AccountId}"}},
    }
    policy = {"Version": "2012-10-17", "Statement": [{"Sid": sid, **statements[sid]} for sid in sids]}
    return {
        "RoleName": f"rolecall-{name}",
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
        **({"Policies": [{"PolicyName": name, "PolicyDocument": policy}]} if sids else {}),
        "Tags": TAGS,
    }


@pytest.mark.parametrize(
    ("given", "task", "execution"), [*OPTIONS, (EVERYTHING, list(TASK_STATEMENTS), list(EXECUTION_STATEMENTS))]
)
def test_the_roles_may_do_what_an_option_needs_and_nothing_else(
    service: Service, given: dict[str, Any], task: list[str], execution: list[str]
) -> None:
    template = service(**given)
    assert properties(template, "AWS::IAM::Role") == [
        role("task", TASK_STATEMENTS, task),
        role("execution", EXECUTION_STATEMENTS, execution),
    ]
    assert not [name for name, resource in template["Resources"].items() if "Policy" in resource["Type"]]


@pytest.mark.parametrize("execute", [False, True])
def test_the_container_can_do_little_else_than_serve(service: Service, execute: bool) -> None:
    template = service(
        enable_execute_command=execute, cpu=512, memory=1024, environment={"MINE": "1"}, external_id="with-bob"
    )
    (definition,) = properties(template, "AWS::ECS::TaskDefinition")
    assert definition == {
        "Family": "rolecall",
        "RequiresCompatibilities": ["FARGATE"],
        "NetworkMode": "awsvpc",
        "Cpu": "512",
        "Memory": "1024",
        "RuntimePlatform": {"CpuArchitecture": "ARM64", "OperatingSystemFamily": "LINUX"},
        "TaskRoleArn": "${TaskRole.Arn}",
        "ExecutionRoleArn": "${ExecutionRole.Arn}",
        "ContainerDefinitions": [
            {
                "Name": "rolecall",
                "Image": "registry.example.com:5000/rolecall:1.0",
                "Essential": True,
                "Command": ["serve", "--listen", "0.0.0.0:8080"],
                "User": "65532:65532",
                "ReadonlyRootFilesystem": not execute,
                "LinuxParameters": {"Capabilities": {"Drop": ["ALL"]}},
                "PortMappings": [{"ContainerPort": 8080, "Protocol": "tcp"}],
                "StopTimeout": 30,
                "Environment": [
                    {"Name": "MINE", "Value": "1"},
                    {"Name": "ROLECALL_CONFIG", "Value": '{"roles":{}}'},
                    {"Name": "ROLECALL_EXTERNAL_ID", "Value": "with-bob"},
                    {"Name": "ROLECALL_PUBLIC_URL", "Value": "https://mcp.example.com"},
                    {"Name": "SSL_CERT_FILE", "Value": "/etc/ssl/certs/ca-certificates.crt"},
                ],
                "LogConfiguration": {
                    "LogDriver": "awslogs",
                    "Options": {
                        "awslogs-group": "${LogGroup}",
                        "awslogs-region": "${AWS::Region}",
                        "awslogs-stream-prefix": "rolecall",
                    },
                },
            }
        ],
        "Tags": TAGS,
    }
    assert template["Resources"]["Service"]["Properties"]["EnableExecuteCommand"] is execute


def test_the_service_rolls_back_and_starts_when_the_listener_forwards(service: Service) -> None:
    resource = service(desired_count=3)["Resources"]["Service"]
    assert resource["DependsOn"] == ["CallsRule", "MetadataRule"]
    assert resource["Properties"] == {
        "ServiceName": "rolecall",
        "Cluster": "${Cluster}",
        "TaskDefinition": "${TaskDefinition}",
        "LaunchType": "FARGATE",
        "DesiredCount": 3,
        "DeploymentConfiguration": {
            "MinimumHealthyPercent": 100,
            "MaximumPercent": 200,
            "DeploymentCircuitBreaker": {"Enable": True, "Rollback": True},
        },
        "HealthCheckGracePeriodSeconds": 30,
        "EnableExecuteCommand": False,
        "PropagateTags": "SERVICE",
        "AvailabilityZoneRebalancing": "ENABLED",
        "NetworkConfiguration": {
            "AwsvpcConfiguration": {
                "AssignPublicIp": "DISABLED",
                "SecurityGroups": ["${SecurityGroup.GroupId}"],
                "Subnets": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
            }
        },
        "LoadBalancers": [{"ContainerName": "rolecall", "ContainerPort": 8080, "TargetGroupArn": "${TargetGroup}"}],
        "Tags": TAGS,
    }


def test_only_the_load_balancer_reaches_the_tasks(service: Service) -> None:
    template = service(architecture="x86_64", kms_key_arn=KEY)
    https = {"CidrIp": "0.0.0.0/0", "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "Description": "HTTPS"}
    assert properties(template, "AWS::EC2::SecurityGroup") == [
        {
            "GroupName": "rolecall",
            "GroupDescription": "Rolecall rolecall: from the load balancer",
            "VpcId": "vpc-0123456789abcdef0",
            "SecurityGroupIngress": [
                {
                    "SourceSecurityGroupId": "sg-0123456789abcdef0",
                    "IpProtocol": "tcp",
                    "FromPort": 8080,
                    "ToPort": 8080,
                    "Description": "Load balancer",
                }
            ],
            "SecurityGroupEgress": [https],
            "Tags": TAGS,
        }
    ]
    assert properties(template, "AWS::ElasticLoadBalancingV2::TargetGroup") == [
        {
            "Name": "rolecall",
            "TargetType": "ip",
            "Protocol": "HTTP",
            "Port": 8080,
            "VpcId": "vpc-0123456789abcdef0",
            "HealthCheckPath": "/healthz",
            "HealthCheckProtocol": "HTTP",
            "Matcher": {"HttpCode": "200,503"},
            "HealthCheckIntervalSeconds": 15,
            "HealthCheckTimeoutSeconds": 5,
            "HealthyThresholdCount": 2,
            "UnhealthyThresholdCount": 3,
            "TargetGroupAttributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": "30"}],
            "Tags": TAGS,
        }
    ]
    rules = properties(template, "AWS::ElasticLoadBalancingV2::ListenerRule")
    assert [(rule["ListenerArn"], rule["Priority"]) for rule in rules] == [(LISTENER, 100), (LISTENER, 101)]
    assert properties(template, "AWS::ECS::TaskDefinition")[0]["RuntimePlatform"]["CpuArchitecture"] == "X86_64"
    (group,) = properties(template, "AWS::Logs::LogGroup")
    assert (group["LogGroupName"], group["KmsKeyId"]) == ("/ecs/rolecall", KEY)


def test_the_outputs_are_what_users_need(service: Service) -> None:
    template = service(listener_base_path="/tools", external_id="with-bob")
    values = {name: output["Value"] for name, output in template["Outputs"].items()}
    trust = json.loads(values.pop("RoleTrustPolicy"))
    assert trust == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "${TaskRole.Arn}"},
                "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
                "Condition": {
                    "StringEquals": {"sts:ExternalId": "with-bob"},
                    "StringLike": {"sts:SourceIdentity": "*"},
                },
            }
        ],
    }
    assert values == {
        "McpUrl": "https://mcp.example.com/tools/mcp",
        "PublicUrl": "https://mcp.example.com/tools",
        "ClusterName": "${Cluster}",
        "ServiceName": "${Service.Name}",
        "TaskRoleArn": "${TaskRole.Arn}",
        "ExecutionRoleArn": "${ExecutionRole.Arn}",
        "LogGroupName": "${LogGroup}",
        "SecurityGroupId": "${SecurityGroup.GroupId}",
        "TargetGroupArn": "${TargetGroup}",
    }
