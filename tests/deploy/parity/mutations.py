"""Owns the test of this test: faults that are planted in copies of the definitions, each of which must be found, in words
that name what is wrong.

In come the definitions and the graphs of Terraform that they are compared with; out goes a sentence for each fault that was not found.
There is no list of faults that need not be found. A fault that cannot be planted any more is an error: its text is gone.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

from . import bad_input, cloudformation, definitions, graph, inputs, known, plans
from .configurations import CONFIGURATIONS
from .graph import Graph
from .kinds import UnknownKind

INPUTS, BAD_INPUT, PRIORITIES = "inputs", "bad input", "priorities"


@dataclass(frozen=True)
class Mutation:
    """A fault: the file it is in, what stands there and what instead; where it shows (a configuration, the comparison of
    inputs, or bad input), and what the sentence that finds it says."""

    file: str
    old: str
    new: str
    shows: str
    says: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file}: {self.new.strip()[:80]!r} for {self.old.strip()[:80]!r}"

    @property
    def variant(self) -> str:
        return "service" if any(part in self.file for part in ("ecs", "service")) else "function"

    def planted(self, root: Path, folder: Path) -> Path:
        """A copy of the folder of the definition, with the fault."""
        definition = self.file.split("/")[0]
        copy = folder / definition
        shutil.copytree(root / definition, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "tests", "examples", "cdk.out"))
        text = (folder / self.file).read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self}: what it replaces is there {text.count(self.old)} times")
        (folder / self.file).write_text(text.replace(self.old, self.new))
        return copy


def fault(file: str, old: str, new: str, shows: str, *says: str) -> Mutation:
    return Mutation(file, old, new, shows, says)


TF, ECS_TF, CFN, ECS_CFN = "infra/main.tf", "infra/ecs/main.tf", "cloudformation/rolecall.yaml", "cloudformation/rolecall-ecs.yaml"
PY = "cdk/rolecall_cdk"
STACK_TAG = 'Tags: [{ Key: "rolecall:stack", Value: !Ref Name }]'

MUTATIONS = [
    # Terraform.
    fault(TF, 'Resource = var.secret_arns', 'Resource = "*"', "everything", "AWS::IAM::Role/tools-function Policies", "Resource"),
    fault(TF, 'Service = "lambda.amazonaws.com"', 'Service = "ec2.amazonaws.com"', "minimal", "AWS::IAM::Role/rolecall-function AssumeRolePolicyDocument", "Service"),
    fault(TF, '  depends_on = [aws_iam_role_policy.function]\n', "", "minimal", "AWS::Lambda::Function/rolecall DependsOn", "AWS::IAM::Role/rolecall-function"),
    fault(TF, 'publish                        = true', 'publish                        = false', "minimal", "AWS::Lambda::Version/newest"),
    fault(TF, '"BUFFERED"', '"RESPONSE_STREAM"', "minimal", "AWS::Lambda::Function/rolecall Environment/Variables/ROLECALL_INVOKE_MODE"),
    fault("infra/http_api.tf", '  payload_format_version = "2.0"\n', "", "minimal", "AWS::ApiGatewayV2::Integration/", "PayloadFormatVersion"),
    fault("infra/rest_api.tf", 'triggers    = { body = sha256(jsonencode(local.openapi)) }', 'triggers    = { body = var.name }', "everything", "AWS::ApiGateway::Deployment/", "Anew"),
    fault("infra/alb.tf", '  depends_on       = [aws_lambda_permission.alb]\n', "", "alb", "AWS::ElasticLoadBalancingV2::TargetGroup/rolecall#Targets DependsOn"),
    fault("infra/vpc.tf", 'to_port           = 443', 'to_port           = 8443', "vpc", "AWS::EC2::SecurityGroup/rolecall SecurityGroupEgress", "ToPort"),
    fault("infra/alarms.tf", 'metric = "AuthFailures", threshold = 100', 'metric = "AuthFailures", threshold = 10', "minimal", "AWS::CloudWatch::Alarm/rolecall-auth-failures Threshold"),
    fault("infra/vault.tf", 'point_in_time_recovery {\n    enabled = true', 'point_in_time_recovery {\n    enabled = false', "everything", "AWS::DynamoDB::Table/tools-vault PointInTimeRecoverySpecification"),
    fault("infra/dashboard.tf", '["Rolecall", "ToolErrors", "Sum"]', '["Rolecall", "ToolErrors", "p99"]', "minimal", "AWS::CloudWatch::Dashboard/rolecall DashboardBody", "stat"),
    fault("infra/outputs.tf", 'value       = aws_iam_role.function.arn', 'value       = aws_lambda_function.this.arn', "minimal", "Outputs ExecutionRoleArn"),
    fault(ECS_TF, 'readonlyRootFilesystem = !var.enable_execute_command', 'readonlyRootFilesystem = true', "ecs exec only", "AWS::ECS::TaskDefinition/rolecall ContainerDefinitions", "ReadonlyRootFilesystem"),
    fault(ECS_TF, 'referenced_security_group_id = var.alb_security_group_id', 'cidr_ipv4                    = "0.0.0.0/0"', "ecs minimal", "AWS::EC2::SecurityGroup/rolecall SecurityGroupIngress", "CidrIp"),
    fault("infra/variables.tf", 'default     = 256', 'default     = 128', INPUTS, "MemorySize, default"),
    fault("infra/ecs/variables.tf", "Security group of the load balancer, which alone may reach the tasks.", "Security group.", INPUTS, "AlbSecurityGroupId, description"),
    fault("infra/variables.tf", ":role/[A-Za-z0-9+=,.@_/-]+$", ":role/[A-Za-z0-9+=,.@_/*-]+$", BAD_INPUT, "Terraform", "assumable_role_arns"),
    # CloudFormation.
    fault(CFN, "  WebAclAssociation:\n    Type: AWS::WAFv2::WebACLAssociation\n    Condition: HasWebAcl", "  WebAclAssociation:\n    Type: AWS::WAFv2::WebACLAssociation\n    Condition: IsAlb", "everything", "AWS::WAFv2::WebACLAssociation/"),
    fault(CFN, "Action: secretsmanager:GetSecretValue", 'Action: "secretsmanager:*"', "everything", "AWS::IAM::Role/tools-function Policies", "Action"),
    fault(CFN, "- Sid: NetworkInterfacesByLambdaOnly\n                  Effect: Deny", "- Sid: NetworkInterfacesByLambdaOnly\n                  Effect: Allow", "vpc", "AWS::IAM::Role/rolecall-function Policies", "Effect"),
    fault(CFN, "Resource: !Ref KmsKeyArn", 'Resource: "*"', "everything", "AWS::IAM::Role/tools-function Policies", "Resource"),
    fault(CFN, "RoleName: !Sub ${Name}-function", "RoleName: !Sub ${Name}-role", "minimal", "AWS::IAM::Role/rolecall-role"),
    fault(CFN, "    DependsOn: AlbPermission\n", "", "alb", "AWS::ElasticLoadBalancingV2::TargetGroup/rolecall#Targets DependsOn"),
    fault(CFN, "    DependsOn: RestApiStage\n", "", "everything", "AWS::WAFv2::WebACLAssociation/", "DependsOn"),
    fault(CFN, "    DependsOn: Live\n", "", "function_url", "AWS::Lambda::Url/live DependsOn"),
    fault(CFN, "AuthType: AWS_IAM", "AuthType: NONE", "function_url", "AWS::Lambda::Url/live AuthType"),
    fault(CFN, "Value: !GetAtt SecurityGroup.GroupId", "Value: !Ref VpcId", "vpc", "Outputs SecurityGroupId"),
    fault(CFN, "      SSESpecification:\n        SSEEnabled: true", "      SSESpecification:\n        SSEEnabled: false", "everything", "AWS::DynamoDB::Table/tools-vault SSESpecification/SSEEnabled"),
    fault(CFN, "DeletionProtectionEnabled: !Ref EnableDeletionProtection", "DeletionProtectionEnabled: true", "rest_api streaming with WAF", "AWS::DynamoDB::Table/rolecall-vault DeletionProtectionEnabled"),
    fault(CFN, "  Version:\n    Type: AWS::Lambda::Version\n    DeletionPolicy: Retain", "  Version:\n    Type: AWS::Lambda::Version\n    DeletionPolicy: Delete", "minimal", "AWS::Lambda::Version/newest DeletionPolicy"),
    fault(CFN, '''gatewayresponse.header.WWW-Authenticate: "'Bearer'"''', '''gatewayresponse.header.WWW-Authenticate: "'Basic'"''', "everything", "AWS::ApiGateway::RestApi/tools Body", "WWW-Authenticate"),
    fault(CFN, "timeoutInMillis: 900000", "timeoutInMillis: 890000", "everything", "AWS::ApiGateway::Deployment/", "Anew"),
    fault(CFN, "responseTransferMode: STREAM", "responseTransferMode: BUFFERED", "everything", "AWS::ApiGateway::RestApi/tools Body", "responseTransferMode"),
    fault(CFN, "      Threshold: 80\n", "      Threshold: 90\n", "minimal", "AWS::CloudWatch::Alarm/rolecall-duration Threshold"),
    fault(CFN, "Expression: !Sub 100 * m1 / ${TimeoutSeconds}000", "Expression: 100 * m1 / 30000", "everything", "AWS::CloudWatch::Alarm/tools-duration Metrics", "Expression"),
    fault(CFN, 'Value: !Sub\n      - ${Url}/mcp', 'Value: !Sub\n      - ${Url}/', "minimal", "Outputs McpUrl"),
    fault(CFN, "  HasKmsKey: !Not [!Equals [!Ref KmsKeyArn, \"\"]]", "  HasKmsKey: !Equals [!Ref EnableVaultTable, \"true\"]", "everything behind http_api", "AWS::Logs::LogGroup//aws/lambda/tools KmsKeyId"),
    fault(CFN, "              - !Sub ${ListenerBasePath}/connect/*\n", "", "alb", "AWS::ElasticLoadBalancingV2::ListenerRule/1100 Conditions", "connect"),
    fault(CFN, '        !Join ["3", !Split ["2+",\n', '        !Join ["4", !Split ["2+",\n', PRIORITIES, "listener priority 2:"),
    fault(CFN, "  FunctionUrl:\n    Type: AWS::Lambda::Url\n    Condition: IsFunctionUrl", "  FunctionUrl:\n    Type: AWS::Lambda::Url\n    Condition: IsRestApi", "function_url", "FunctionUrl", "which a condition leaves out"),
    fault(CFN, "Default: 0.0.0.0/0", "Default: 10.0.0.0/8", INPUTS, "EgressCidrBlocks, default"),
    fault(CFN, "A function version must be a number, such as 7.", "A function version must be a number.", INPUTS, "FunctionVersion, sentences"),
    fault(CFN, "Description: Name of the CloudWatch dashboard.", "Description: Name of the dashboard.", INPUTS, "output DashboardName"),
    fault(CFN, "A web ACL can stand before the front door rest_api only.", "A web ACL needs the front door rest_api.", INPUTS, "CloudFormation", "A web ACL needs"),
    fault(CFN, "AllowedPattern: ^([1-9][0-9]{0,3}|[1-4][0-9]{4})$", "AllowedPattern: ^([1-9][0-9]{0,3}|[1-5][0-9]{4})$", BAD_INPUT, "CloudFormation", "listener_priority"),
    fault(CFN, "      - Assert: !Not [!Equals [!Ref AlbListenerArn, \"\"]]\n", "      - Assert: !Not [!Equals [!Ref FrontDoor, \"\"]]\n", BAD_INPUT, "CloudFormation", "front_door", "listener"),
    fault(ECS_CFN, "    DependsOn: [CallsRule, MetadataRule]\n", "    DependsOn: [CallsRule]\n", "ecs minimal", "AWS::ECS::Service/rolecall DependsOn", "ListenerRule/101"),
    fault(ECS_CFN, "AssignPublicIp: DISABLED", "AssignPublicIp: ENABLED", "ecs minimal", "AWS::ECS::Service/rolecall NetworkConfiguration", "AssignPublicIp"),
    fault(ECS_CFN, "DeploymentCircuitBreaker: { Enable: true, Rollback: true }", "DeploymentCircuitBreaker: { Enable: true, Rollback: false }", "ecs minimal", "AWS::ECS::Service/rolecall DeploymentConfiguration", "Rollback"),
    fault(ECS_CFN, "User: 65532:65532", "User: 0:0", "ecs minimal", "AWS::ECS::TaskDefinition/rolecall ContainerDefinitions", "User"),
    fault(ECS_CFN, "TaskRoleArn: !GetAtt TaskRole.Arn", "TaskRoleArn: !GetAtt ExecutionRole.Arn", "ecs minimal", "AWS::ECS::TaskDefinition/rolecall TaskRoleArn"),
    fault(ECS_CFN, '        - { IpProtocol: "-1", CidrIp: 127.0.0.1/32, Description: Nothing }', '        - { IpProtocol: "-1", CidrIp: 0.0.0.0/0, Description: Nothing }', "ecs minimal", "AWS::EC2::SecurityGroup/rolecall SecurityGroupEgress"),
    # CDK.
    fault(f"{PY}/front_doors.py", '        auth_type="AWS_IAM",', '        auth_type="NONE",', "function_url", "AWS::Lambda::Url/live AuthType"),
    fault(f"{PY}/front_doors.py", "    group.add_resource_dependency(permission)\n", "", "alb", "AWS::ElasticLoadBalancingV2::TargetGroup/rolecall#Targets DependsOn"),
    fault(f"{PY}/front_doors.py", '"*/*/*")', '"*")', "everything", "AWS::Lambda::Permission/apigateway.amazonaws.com SourceArn"),
    fault(f"{PY}/front_doors.py", "        timeout_in_millis=30000,\n", "        timeout_in_millis=29000,\n", "minimal", "AWS::ApiGatewayV2::Integration/", "TimeoutInMillis"),
    fault(f"{PY}/front_doors.py", 'f"RestApiDeployment{digest}"', '"RestApiDeployment"', "everything", "AWS::ApiGateway::Deployment/", "Anew"),
    fault(f"{PY}/front_doors.py", '"statusCode": 404', '"statusCode": 403', "everything", "AWS::ApiGateway::RestApi/tools Body", "statusCode"),
    fault(f"{PY}/function.py", '        statements.append(allow("VaultKey", ["kms:Decrypt", "kms:GenerateDataKey"], inputs.kms_key_arn, through))', '        statements.append(allow("VaultKey", ["kms:Decrypt", "kms:GenerateDataKey"], inputs.kms_key_arn))', "everything", "AWS::IAM::Role/tools-function Policies", "Condition"),
    fault(f"{PY}/function.py", "        deletion_protection_enabled=inputs.enable_deletion_protection,\n", "", "everything", "AWS::DynamoDB::Table/tools-vault DeletionProtectionEnabled"),
    fault(f"{PY}/function.py", "    version.apply_removal_policy(RemovalPolicy.RETAIN)\n", "", "minimal", "AWS::Lambda::Version/newest DeletionPolicy"),
    fault(f"{PY}/function.py", 'attribute_name="expires_at"', 'attribute_name="expires"', "everything", "AWS::DynamoDB::Table/tools-vault TimeToLiveSpecification"),
    fault(f"{PY}/function.py", "        self.alias_arn = alias.ref\n", "        self.alias_arn = function.attr_arn\n", "minimal", "Outputs AliasArn"),
    fault(f"{PY}/function.py", 'log_group=group.ref', 'log_group=f"/aws/lambda/{inputs.name}"', "minimal", "AWS::Lambda::Function/rolecall DependsOn", "AWS::Logs::LogGroup//aws/lambda/rolecall"),
    fault(f"{PY}/monitoring.py", '    ("ThrottlesAlarm", "throttles", "AWS/Lambda", "Throttles", 1, "The function was throttled."),\n', "", "minimal", "AWS::CloudWatch::Alarm/rolecall-throttles"),
    fault(f"{PY}/monitoring.py", '        "ok_actions": list(inputs.alarm_topic_arns) or None,\n', "", "everything", "AWS::CloudWatch::Alarm/tools-errors OKActions"),
    fault(f"{PY}/monitoring.py", '"treat_missing_data": "notBreaching"', '"treat_missing_data": "breaching"', "minimal", "AWS::CloudWatch::Alarm/rolecall-errors TreatMissingData"),
    fault(f"{PY}/shared.py", "        kms_key_id=inputs.kms_key_arn,\n", "", "everything", "AWS::Logs::LogGroup//aws/lambda/tools KmsKeyId"),
    fault(f"{PY}/shared.py", '({"rolecall:stack": inputs.name} | dict(inputs.tags))', '({"rolecall:name": inputs.name} | dict(inputs.tags))', "minimal", "AWS::Lambda::Function/rolecall Tags"),
    fault(f"{PY}/shared.py", '"StringLike": {"sts:SourceIdentity": "*"},', "", "minimal", "Outputs RoleTrustPolicy", "sts:SourceIdentity"),
    fault(f"{PY}/service.py", '        health_check_path="/healthz",\n', '        health_check_path="/",\n', "ecs minimal", "AWS::ElasticLoadBalancingV2::TargetGroup/rolecall HealthCheckPath"),
    fault(f"{PY}/service.py", 'statements.append(allow("Pull", layers, inputs.ecr_repository_arn))', 'statements.append(allow("Pull", layers, "*"))', "ecs everything", "AWS::IAM::Role/tools-execution Policies", "Resource"),
    fault(f"{PY}/service.py", "for name, value in sorted(environment.items())", "for name, value in environment.items()", "ecs everything", "the container's environment is not sorted by name"),
    fault(f"{PY}/inputs.py", "r\"^subnet-[0-9a-f]+$\"", "r\"^subnet-.+$\"", BAD_INPUT, "CDK", "private_subnet_ids"),
    fault(f"{PY}/inputs.py", '"How long logs are kept, in days.", LOG_RETENTION, default=30', '"How long logs are kept, in days.", LOG_RETENTION, default=90', INPUTS, "LogRetentionInDays, default"),
    fault(f"{PY}/inputs.py", "lambda inputs: inputs.web_acl_arn is None or inputs.front_door == \"rest_api\"", "lambda inputs: True", BAD_INPUT, "CDK", "web_acl_arn"),
]  # fmt: skip


def by_definition(mutations: list[Mutation], definition: str) -> list[Mutation]:
    return [mutation for mutation in mutations if mutation.file.startswith(definition)]


def terraform_calls(root: Path, folder: Path, package: Path) -> dict[str, plans.Call]:
    """A call for each fault of Terraform that shows in a configuration: they are planned with all the others."""
    return {
        str(mutation): plans.Call(
            mutation.planted(root, folder / str(number)) / ("ecs" if mutation.variant == "service" else ""),
            definitions.with_package(CONFIGURATIONS[mutation.shows], package),
        )
        for number, mutation in enumerate(by_definition(MUTATIONS, "infra"))
        if mutation.shows in CONFIGURATIONS
    }


def not_found(root: Path, folder: Path, package: Path, terraform: dict[str, Graph], faulty: dict[str, Any]) -> Iterator[str]:
    """A sentence for each fault that was not found. `terraform` has the graphs of Terraform as it is, `faulty` those of its
    planted faults, or the errors in their place."""
    finders = {"infra": in_terraform, "cdk": in_cdk, "cloudformation": in_cloudformation}
    for number, mutation in enumerate(MUTATIONS):
        place = folder / f"planted{number}"
        definition = mutation.file.split("/")[0]
        try:
            if definition == "infra" and mutation.shows in CONFIGURATIONS:
                said = in_graph("Terraform", mutation.shows, terraform[mutation.shows], faulty[str(mutation)])
            else:
                said = list(finders[definition](mutation, mutation.planted(root, place), root, place, package, terraform))
        except (cloudformation.TemplateError, graph.GraphError, plans.PlanError, UnknownKind) as error:
            said = [str(error)]
        if not any(all(part in sentence for part in mutation.says) for sentence in said):
            yield f"not found: {mutation}: expected {mutation.says} in {mutation.shows}: {[sentence[:200] for sentence in said[:5]]}"


def in_graph(definition: str, name: str, terraform: Graph, other: Graph | Exception) -> list[str]:
    """What the comparison of one configuration says."""
    if isinstance(other, Exception):
        raise other
    return known.unexplained(definition, name, terraform, other) + list(graph.out_of_order(other, known.ORDERS))


def in_terraform(mutation: Mutation, copy: Path, root: Path, place: Path, _package: Path, _terraform: dict) -> Iterator[str]:
    """What is said of a fault in the variables."""
    modules = {variant: place / module for variant, module in definitions.MODULES.items()}
    if mutation.shows == BAD_INPUT:
        table = [case for case in bad_input.cases() if mutation.says[-1] in case.inputs and case not in bad_input.BETWEEN]
        table = [case for case in table if case.inputs[mutation.says[-1]] != CONFIGURATIONS["minimal"].inputs.get(mutation.says[-1])]
        yield from bad_input.judged("Terraform", table, bad_input.by_terraform(modules, table, place / "plan"))
    else:
        variant = mutation.variant
        template = cloudformation.load(root / definitions.TEMPLATES[variant])
        _, kind = definitions.cdk_app(root / definitions.CDK).VARIANTS[variant]
        yield from inputs.input_differences(plans.Module.read(modules[variant]), kind, template)


def in_cloudformation(
    mutation: Mutation, copy: Path, root: Path, place: Path, _package: Path, terraform: dict[str, Graph]
) -> Iterator[str]:
    """What is said of a fault in a template."""
    variant = mutation.variant
    template = cloudformation.load(place / definitions.TEMPLATES[variant])
    if mutation.shows == INPUTS:
        module = plans.Module.read(root / definitions.MODULES[variant])
        _, kind = definitions.cdk_app(root / definitions.CDK).VARIANTS[variant]
        yield from inputs.input_differences(module, kind, template)
        yield from inputs.output_differences(module, inputs.cloudformation_outputs(template), "CloudFormation")
    elif mutation.shows == BAD_INPUT:
        table = [case for case in bad_input.without_maps() if case.variant == variant]
        said = [bad_input.by_cloudformation({variant: template}, case) for case in table]
        yield from bad_input.judged("CloudFormation", table, said)
    elif mutation.shows == PRIORITIES:
        yield from definitions.wrong_priorities(template, CONFIGURATIONS["alb"])
    else:
        other = definitions.of_cloudformation(template, CONFIGURATIONS[mutation.shows])
        yield from in_graph("CloudFormation", mutation.shows, terraform[mutation.shows], other)


def in_cdk(
    mutation: Mutation, copy: Path, root: Path, place: Path, package: Path, terraform: dict[str, Graph]
) -> Iterator[str]:
    """What is said of a fault in the constructs."""
    app = definitions.cdk_app(copy)
    if mutation.shows == INPUTS:
        module = plans.Module.read(root / definitions.MODULES[mutation.variant])
        template = cloudformation.load(root / definitions.TEMPLATES[mutation.variant])
        yield from inputs.input_differences(module, app.VARIANTS[mutation.variant][1], template)
    elif mutation.shows == BAD_INPUT:
        table = bad_input.cases()
        yield from bad_input.judged("CDK", table, [bad_input.by_cdk(app, case) for case in table])
    else:
        other = definitions.of_cdk(app, CONFIGURATIONS[mutation.shows], package)
        yield from in_graph("CDK", mutation.shows, terraform[mutation.shows], other)
