"""Rolecall on ECS (Fargate): the same binary in a container, behind a load balancer that is there already.

In come `RolecallServiceInputs`; out go the resources of one deployment, and its outputs as attributes and as outputs of
the stack.
"""

from __future__ import annotations

from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from rolecall_cdk.inputs import RolecallServiceInputs
from rolecall_cdk.shared import (
    Statement,
    acknowledge,
    allow,
    caller_statements,
    external_id,
    listener_rules,
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

PORT = 8080

OUTPUTS = {
    "mcp_url": "URL that MCP clients connect to.",
    "public_url": "URL of the server, without a path of its own: what server.publicUrl must be.",
    "cluster_name": "Name of the cluster.",
    "service_name": "Name of the service.",
    "task_role_arn": "Role that the server runs as, which the roles of callers must trust.",
    "execution_role_arn": "Role with which ECS pulls the image and writes logs.",
    "role_trust_policy": "Trust policy that each role of a caller needs, as JSON.",
    "log_group_name": "Log group of the server.",
    "security_group_id": "Security group of the tasks.",
    "target_group_arn": "Target group of the tasks.",
}


class RolecallService(Construct):
    """One deployment of Rolecall on ECS."""

    def __init__(self, scope: Construct, construct_id: str, inputs: RolecallServiceInputs) -> None:
        super().__init__(scope, construct_id)
        stack = Stack.of(self)
        cluster = ecs.CfnCluster(
            self,
            "Cluster",
            cluster_name=inputs.name,
            cluster_settings=[ecs.CfnCluster.ClusterSettingsProperty(name="containerInsights", value="enabled")],
        )
        group = log_group(self, "LogGroup", f"/ecs/{inputs.name}", inputs)
        trust = trusted_by("ecs-tasks.amazonaws.com", {"StringEquals": {"aws:SourceAccount": stack.account}})
        task_role = role(self, f"{inputs.name}-task", "task", trust, task_statements(stack, inputs))
        pulling = execution_statements(stack, inputs)
        execution_role = role(self, f"{inputs.name}-execution", "execution", trust, pulling)
        acknowledge_wildcards(task_role, execution_role, inputs)

        from_load_balancer = ec2.CfnSecurityGroup.IngressProperty(
            ip_protocol="tcp",
            from_port=PORT,
            to_port=PORT,
            source_security_group_id=inputs.alb_security_group_id,
            description="Load balancer",
        )
        network = security_group(self, inputs, f"Rolecall {inputs.name}: from the load balancer", [from_load_balancer])
        targets = target_group(self, inputs)
        rules = listener_rules(self, inputs, targets.ref)
        definition = task_definition(self, inputs, task_role, execution_role, group)
        service = running_service(self, inputs, cluster, definition, network, targets)
        # A target group takes tasks only when a listener uses it.
        for rule in rules:
            service.add_resource_dependency(rule)

        self.public_url = listener_url(inputs)
        self.mcp_url = f"{self.public_url}/mcp"
        self.cluster_name = cluster.ref
        self.service_name = service.attr_name
        self.task_role_arn = task_role.attr_arn
        self.execution_role_arn = execution_role.attr_arn
        self.role_trust_policy = role_trust_policy(inputs, task_role.attr_arn)
        self.log_group_name = group.ref
        self.security_group_id = network.attr_group_id
        self.target_group_arn = targets.ref
        tag(self, inputs)
        write_outputs(self, OUTPUTS)


def task_statements(stack: Stack, inputs: RolecallServiceInputs) -> list[Statement]:
    """What the server itself may do. It reads its secrets when it needs them: none stands in its environment."""
    statements = caller_statements(stack, inputs)
    if inputs.enable_execute_command:
        channels = ("CreateControlChannel", "CreateDataChannel", "OpenControlChannel", "OpenDataChannel")
        statements.append(allow("ExecuteCommand", [f"ssmmessages:{action}" for action in channels], "*"))
    return statements


def execution_statements(stack: Stack, inputs: RolecallServiceInputs) -> list[Statement]:
    """What ECS may do to start a task."""
    statements = [logs_statement(stack, f"/ecs/{inputs.name}")]
    if inputs.ecr_repository_arn:
        layers = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        statements.append(allow("RegistryToken", "ecr:GetAuthorizationToken", "*"))
        statements.append(allow("Pull", layers, inputs.ecr_repository_arn))
    return statements


def acknowledge_wildcards(task_role: iam.CfnRole, execution_role: iam.CfnRole, inputs: RolecallServiceInputs) -> None:
    """The wildcards of both roles."""
    streams = f"arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:log-group:/ecs/{inputs.name}:*"
    reason = "The streams of the one log group: ECS names them by task."
    acknowledge(execution_role, {f"AwsSolutions-IAM5[Resource::{streams}]": reason})
    everything = "AwsSolutions-IAM5[Resource::*]"
    if inputs.ecr_repository_arn:
        acknowledge(execution_role, {everything: "A token is of the registry, not of a repository."})
    if inputs.enable_execute_command:
        acknowledge(task_role, {everything: "Session Manager's channels have no resources to name."})


def target_group(scope: Construct, inputs: RolecallServiceInputs) -> elb.CfnTargetGroup:
    """Where the load balancer finds the tasks."""
    delay = elb.CfnTargetGroup.TargetGroupAttributeProperty(key="deregistration_delay.timeout_seconds", value="30")
    return elb.CfnTargetGroup(
        scope,
        "TargetGroup",
        name=inputs.name,
        target_type="ip",
        protocol="HTTP",
        port=PORT,
        vpc_id=inputs.vpc_id,
        health_check_path="/healthz",
        health_check_protocol="HTTP",
        matcher=elb.CfnTargetGroup.MatcherProperty(http_code="200,503"),
        health_check_interval_seconds=15,
        health_check_timeout_seconds=5,
        healthy_threshold_count=2,
        unhealthy_threshold_count=3,
        target_group_attributes=[delay],
    )


def task_definition(
    scope: Construct,
    inputs: RolecallServiceInputs,
    task_role: iam.CfnRole,
    execution_role: iam.CfnRole,
    group: logs.CfnLogGroup,
) -> ecs.CfnTaskDefinition:
    """One container, which listens on a port of its own and can do little else."""
    task = ecs.CfnTaskDefinition
    environment = {
        "ROLECALL_CONFIG": inputs.configuration,
        "ROLECALL_EXTERNAL_ID": external_id(inputs),
        "ROLECALL_PUBLIC_URL": listener_url(inputs),
        "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
    } | dict(inputs.environment)
    container = task.ContainerDefinitionProperty(
        name="rolecall",
        image=inputs.image,
        essential=True,
        command=["serve", "--listen", f"0.0.0.0:{PORT}"],
        user="65532:65532",
        # ECS Exec writes to it.
        readonly_root_filesystem=not inputs.enable_execute_command,
        linux_parameters=task.LinuxParametersProperty(capabilities=task.KernelCapabilitiesProperty(drop=["ALL"])),
        port_mappings=[task.PortMappingProperty(container_port=PORT, protocol="tcp")],
        stop_timeout=30,
        environment=[task.KeyValuePairProperty(name=name, value=value) for name, value in sorted(environment.items())],
        log_configuration=task.LogConfigurationProperty(
            log_driver="awslogs",
            options={
                "awslogs-group": group.ref,
                "awslogs-region": Stack.of(scope).region,
                "awslogs-stream-prefix": "rolecall",
            },
        ),
    )
    definition = task(
        scope,
        "TaskDefinition",
        family=inputs.name,
        requires_compatibilities=["FARGATE"],
        network_mode="awsvpc",
        cpu=str(inputs.cpu),
        memory=str(inputs.memory),
        runtime_platform=task.RuntimePlatformProperty(
            cpu_architecture="ARM64" if inputs.architecture == "arm64" else "X86_64", operating_system_family="LINUX"
        ),
        task_role_arn=task_role.attr_arn,
        execution_role_arn=execution_role.attr_arn,
        container_definitions=[container],
    )
    acknowledge(definition, {"AwsSolutions-ECS2": "The environment holds ARNs of secrets, never secrets."})
    return definition


def running_service(
    scope: Construct,
    inputs: RolecallServiceInputs,
    cluster: ecs.CfnCluster,
    definition: ecs.CfnTaskDefinition,
    network: ec2.CfnSecurityGroup,
    targets: elb.CfnTargetGroup,
) -> ecs.CfnService:
    """The tasks, kept running; a deployment that does not become healthy is rolled back."""
    service = ecs.CfnService
    return service(
        scope,
        "Service",
        service_name=inputs.name,
        cluster=cluster.ref,
        task_definition=definition.ref,
        launch_type="FARGATE",
        desired_count=inputs.desired_count,
        deployment_configuration=service.DeploymentConfigurationProperty(
            minimum_healthy_percent=100,
            maximum_percent=200,
            deployment_circuit_breaker=service.DeploymentCircuitBreakerProperty(enable=True, rollback=True),
        ),
        health_check_grace_period_seconds=30,
        enable_execute_command=inputs.enable_execute_command,
        propagate_tags="SERVICE",
        availability_zone_rebalancing="ENABLED",
        network_configuration=service.NetworkConfigurationProperty(
            awsvpc_configuration=service.AwsVpcConfigurationProperty(
                subnets=list(inputs.private_subnet_ids),
                security_groups=[network.attr_group_id],
                assign_public_ip="DISABLED",
            )
        ),
        load_balancers=[
            service.LoadBalancerProperty(container_name="rolecall", container_port=PORT, target_group_arn=targets.ref)
        ],
    )
