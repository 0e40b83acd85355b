"""Owns the table of resource types: what tells resources of a type apart, what AWS answers for a reference to one,
and what CloudFormation calls that which Terraform says.

Both sides are brought to CloudFormation's words. A type that is not here is an error. An attribute of Terraform that
has no entry has the name that CloudFormation derives from the same words (`memory_size`, MemorySize); where that is
not so, the comparison shows it.

What AWS makes up (ids, and the ARNs that hold them) is a token until all of a stack is known: `token` for the id of a
resource, with a property's name for that property. `graph` puts in what they stand for.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Callable

# What nobody would write by hand: a definition that names its own account, partition or region is found.
ACCOUNT, PARTITION, REGION, URL_SUFFIX = "999999999999", "aws-cn", "cn-north-1", "amazonaws.com.cn"
TOKEN = re.compile(r"tok(\d{4})([A-Za-z]+?)kot")

Properties = dict[str, Any]
# What becomes of one attribute's value: properties, by paths whose parts are separated by slashes.
Rule = Callable[[Any], Properties]


class ParityError(Exception):
    """What makes a comparison impossible, in a sentence."""


class UnknownKind(ParityError):
    """A type or an attribute that this table does not have."""


@dataclass(frozen=True)
class Kind:
    """A type of CloudFormation: its label among others, what references to it give, and its id where that is not the
    label."""

    label: str
    attributes: dict[str, str] = field(default_factory=dict)
    id: str = ""


def arn(service: str, resource: str, region: str = REGION, account: str = ACCOUNT) -> str:
    """An ARN, whose resource may hold `{id}` and `{SomeProperty}`."""
    return f"arn:{PARTITION}:{service}:{region}:{account}:{resource}"


FUNCTION = arn("lambda", "function:{id}")
TARGET_GROUP = arn("elasticloadbalancing", "targetgroup/{id}/0123456789abcdef")
ALARM = Kind("{AlarmName}", {"Ref": "{id}", "Arn": arn("cloudwatch", "alarm:{id}")})
EXECUTE_API = "https://{id}.execute-api." + f"{REGION}.{URL_SUFFIX}"
FUNCTION_URL = "https://{id}.lambda-url." + f"{REGION}.on.aws/"

KINDS: dict[str, Kind] = {
    "AWS::ApiGateway::Deployment": Kind(
        "{RestApiId}", {"Ref": "{id}", "DeploymentId": "{id}"}, id="deployment-of-{RestApiId}"
    ),
    "AWS::ApiGateway::RestApi": Kind("{Name}", {"Ref": "{id}", "RestApiId": "{id}"}, id="rest-api-{Name}"),
    "AWS::ApiGateway::Stage": Kind("{RestApiId}/{StageName}", {"Ref": "{StageName}"}),
    "AWS::ApiGatewayV2::Api": Kind(
        "{Name}", {"Ref": "{id}", "ApiId": "{id}", "ApiEndpoint": EXECUTE_API}, id="http-api-{Name}"
    ),
    "AWS::ApiGatewayV2::Integration": Kind(
        "{ApiId}", {"Ref": "{id}", "IntegrationId": "{id}"}, id="integration-of-{ApiId}"
    ),
    "AWS::ApiGatewayV2::Route": Kind("{ApiId}/{RouteKey}"),
    "AWS::ApiGatewayV2::Stage": Kind("{ApiId}/{StageName}", {"Ref": "{StageName}"}),
    "AWS::CloudWatch::Alarm": ALARM,
    "AWS::CloudWatch::Dashboard": Kind("{DashboardName}", {"Ref": "{id}"}),
    "AWS::DynamoDB::Table": Kind("{TableName}", {"Ref": "{id}", "Arn": arn("dynamodb", "table/{id}")}),
    "AWS::EC2::SecurityGroup": Kind("{GroupName}", {"Ref": "{id}", "GroupId": "{id}"}, id="sg-{GroupName}"),
    "AWS::ECS::Cluster": Kind("{ClusterName}", {"Ref": "{id}", "Arn": arn("ecs", "cluster/{id}")}),
    "AWS::ECS::Service": Kind(
        "{ServiceName}", {"Ref": arn("ecs", "service/{id}"), "Name": "{id}", "ServiceArn": arn("ecs", "service/{id}")}
    ),
    "AWS::ECS::TaskDefinition": Kind(
        "{Family}",
        {"Ref": arn("ecs", "task-definition/{id}:1"), "TaskDefinitionArn": arn("ecs", "task-definition/{id}:1")},
    ),
    "AWS::ElasticLoadBalancingV2::ListenerRule": Kind("{Priority}"),
    "AWS::ElasticLoadBalancingV2::TargetGroup": Kind("{Name}", {"Ref": TARGET_GROUP, "TargetGroupArn": TARGET_GROUP}),
    "AWS::IAM::Role": Kind("{RoleName}", {"Ref": "{id}", "Arn": arn("iam", "role/{id}", region="")}),
    "AWS::Lambda::Alias": Kind("{Name}", {"Ref": FUNCTION, "AliasArn": FUNCTION}, id="{FunctionName}:{Name}"),
    "AWS::Lambda::Function": Kind("{FunctionName}", {"Ref": "{id}", "Arn": FUNCTION}),
    "AWS::Lambda::Permission": Kind("{Principal}"),
    "AWS::Lambda::Url": Kind("{Qualifier}", {"FunctionUrl": FUNCTION_URL}, id="function-url-of-{Qualifier}"),
    "AWS::Lambda::Version": Kind(
        "newest", {"Ref": FUNCTION + ":newest", "FunctionArn": FUNCTION + ":newest", "Version": "{id}"}
    ),
    "AWS::Logs::LogGroup": Kind("{LogGroupName}", {"Ref": "{id}", "Arn": arn("logs", "log-group:{id}:*")}),
    "AWS::WAFv2::WebACLAssociation": Kind("{ResourceArn}"),
}

# Those to which CloudFormation hands down a stack's tags.
TAGGABLE = {
    "AWS::ApiGateway::RestApi", "AWS::ApiGateway::Stage", "AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::Stage",
    "AWS::CloudWatch::Alarm", "AWS::DynamoDB::Table", "AWS::EC2::SecurityGroup", "AWS::ECS::Cluster",
    "AWS::ECS::Service",
    "AWS::ECS::TaskDefinition", "AWS::ElasticLoadBalancingV2::ListenerRule", "AWS::ElasticLoadBalancingV2::TargetGroup",
    "AWS::IAM::Role", "AWS::Lambda::Function", "AWS::Logs::LogGroup",
}  # fmt: skip


def token(number: int, part: str = "id") -> str:
    """Stands for the id, or a property, of a resource. Letters and digits only: it is cut, joined and put into JSON."""
    return f"tok{number:04}{part}kot"


def physical(type_: str, attribute: str, id_token: str) -> str:
    """What AWS answers for an attribute of a resource, by its token."""
    if type_ not in KINDS:
        raise UnknownKind(f"teach kinds.py the type {type_}")
    if attribute not in KINDS[type_].attributes:
        raise UnknownKind(f"teach kinds.py {type_}.{attribute}")
    return with_tokens(KINDS[type_].attributes[attribute], id_token)


def with_tokens(template: str, id_token: str) -> str:
    """The template with a resource's tokens in the place of its `{id}` and `{SomeProperty}`."""
    number = int(TOKEN.fullmatch(id_token)[1])
    return re.sub(r"\{([A-Za-z]+)\}", lambda match: token(number, match[1]), template)


@dataclass(frozen=True)
class Part:
    """A type whose resources are compared as a property of another resource: the other's type, the property of this one
    that names it, and what is added to the other's properties."""

    of: str
    by: str
    added: Callable[[Properties], Properties]


def without(own: Properties, *names: str) -> Properties:
    """The properties but these."""
    return {name: value for name, value in own.items() if name not in names}


PARTS: dict[str, Part] = {
    "AWS::EC2::SecurityGroupEgress": Part(
        "AWS::EC2::SecurityGroup", "GroupId", lambda own: {"SecurityGroupEgress": [without(own, "GroupId")]}
    ),
    "AWS::EC2::SecurityGroupIngress": Part(
        "AWS::EC2::SecurityGroup", "GroupId", lambda own: {"SecurityGroupIngress": [without(own, "GroupId")]}
    ),
    "AWS::IAM::RolePolicy": Part("AWS::IAM::Role", "RoleName", lambda own: {"Policies": [without(own, "RoleName")]}),
    # These two are types of Terraform only.
    "Terraform::ProvisionedConcurrency": Part(
        "AWS::Lambda::Alias",
        "Qualifier",
        lambda own: {"ProvisionedConcurrencyConfig": without(own, "Qualifier", "FunctionName")},
    ),
    "Terraform::Target": Part(
        "AWS::ElasticLoadBalancingV2::TargetGroup",
        "TargetGroupArn",
        lambda own: {"Targets": [without(own, "TargetGroupArn")]},
    ),
}


# Terraform.


def rename(path: str) -> Rule:
    """The same value under another name."""
    return lambda value: {path: value}


def document(path: str) -> Rule:
    """JSON in a text, where CloudFormation has the document itself."""
    return lambda value: {path: json.loads(value)}


def choice(path: str, words: dict[Any, Any]) -> Rule:
    """Other words for the same."""
    return lambda value: {path: words[value]}


def left_out(reason: str) -> Rule:
    """Nothing in CloudFormation, for a reason."""
    assert reason
    return lambda value: {}


def block(path: str, rules: dict[str, Rule | str] | None = None) -> Rule:
    """A block that is there once, as an object; an empty path puts its attributes beside it."""

    def convert(value: list[Properties]) -> Properties:
        (only,) = value
        inside = properties(only, rules or {})
        return {f"{path}/{name}" if path else name: item for name, item in inside.items()}

    return convert


def blocks(path: str, rules: dict[str, Rule | str] | None = None) -> Rule:
    """Blocks, as a list of objects."""
    return lambda value: {path: [nested(properties(item, rules or {})) for item in value]}


def properties(attributes: Properties, rules: dict[str, Rule | str]) -> Properties:
    """CloudFormation's properties, by path, of Terraform's attributes."""
    out: Properties = {}
    for name, value in attributes.items():
        rule = rules.get(name, pascal(name))
        if isinstance(rule, str) and isinstance(value, list) and any(isinstance(item, dict) for item in value):
            raise UnknownKind(f"teach kinds.py the block {name}")
        if value is not None and value != []:
            out |= rename(rule)(value) if isinstance(rule, str) else rule(value)
    return out


def nested(by_path: Properties) -> Properties:
    """The object in which each value is where its path says."""
    out: Properties = {}
    for path, value in by_path.items():
        *parents, last = path.split("/")
        place = out
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return out


def pascal(name: str) -> str:
    """`memory_size` as CloudFormation writes it: MemorySize."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def capitalised(value: Any, keep: tuple[str, ...] = ("Options",)) -> Any:
    """A container definition as CloudFormation writes it: keys begin with capitals, but those of free maps."""
    if isinstance(value, list):
        return [capitalised(item) for item in value]
    if not isinstance(value, dict):
        return value
    names = {key: key[:1].upper() + key[1:] for key in value}
    return {name: value[key] if name in keep else capitalised(value[key]) for key, name in names.items()}


def metric_query(query: Properties) -> Properties:
    """One line of an alarm's metric math."""
    out = {pascal(name): value for name, value in query.items() if name != "metric" and value is not None}
    for metric in query.get("metric") or []:
        metric = {name: value for name, value in metric.items() if value is not None}
        out["MetricStat"] = {
            "Metric": {
                "Namespace": metric.pop("namespace"),
                "MetricName": metric.pop("metric_name"),
                "Dimensions": dimensions(metric.pop("dimensions")),
            },
            **{pascal(name): value for name, value in metric.items()},
        }
    return out


def dimensions(named: dict[str, str]) -> list[Properties]:
    """A metric's dimensions as CloudFormation lists them."""
    return [{"Name": name, "Value": value} for name, value in named.items()]


def listener_condition(condition: Properties) -> Properties:
    """One condition of a listener rule: of its blocks, one is there."""
    ((name, (values,)),) = [(name, value) for name, value in condition.items() if value]
    field_ = name.replace("_", "-")
    return {"Field": field_, f"{pascal(name)}Config": {"Values": values["values"]}}


@dataclass(frozen=True)
class TerraformType:
    """A type of Terraform: its type in CloudFormation, what AWS answers for its attributes (the name of
    CloudFormation's attribute, or a template of its own), and the rules for attributes that are not called alike.

    The type may be one of `PARTS`."""

    cloudformation: str
    attributes: dict[str, str] = field(default_factory=dict)
    rules: dict[str, Rule | str] = field(default_factory=dict)


SECURITY_GROUP_RULE = {
    "cidr_ipv4": "CidrIp",
    "referenced_security_group_id": "SourceSecurityGroupId",
    "tags": left_out("a security group's rules have no tags in CloudFormation"),
}

TERRAFORM: dict[str, TerraformType] = {
    "aws_api_gateway_deployment": TerraformType(
        "AWS::ApiGateway::Deployment",
        {"id": "Ref"},
        # In CloudFormation a deployment is made anew when its logical id changes. graph.py compares (`WITH_BODY`).
        {"triggers": rename("Anew")},
    ),
    "aws_api_gateway_rest_api": TerraformType(
        "AWS::ApiGateway::RestApi",
        {"id": "Ref"},
        {
            "body": document("Body"),
            "endpoint_configuration": block("EndpointConfiguration"),
            "put_rest_api_mode": "Mode",
        },
    ),
    "aws_api_gateway_stage": TerraformType(
        "AWS::ApiGateway::Stage",
        {"arn": arn("apigateway", "/restapis/{RestApiId}/stages/{StageName}", account="")},
        {"xray_tracing_enabled": "TracingEnabled"},
    ),
    "aws_apigatewayv2_api": TerraformType("AWS::ApiGatewayV2::Api", {"id": "Ref", "api_endpoint": "ApiEndpoint"}),
    "aws_apigatewayv2_integration": TerraformType(
        "AWS::ApiGatewayV2::Integration", {"id": "Ref"}, {"timeout_milliseconds": "TimeoutInMillis"}
    ),
    "aws_apigatewayv2_route": TerraformType("AWS::ApiGatewayV2::Route"),
    "aws_apigatewayv2_stage": TerraformType(
        "AWS::ApiGatewayV2::Stage",
        rules={"name": "StageName", "access_log_settings": block("AccessLogSettings")},
    ),
    "aws_cloudwatch_dashboard": TerraformType(
        "AWS::CloudWatch::Dashboard", rules={"dashboard_body": document("DashboardBody")}
    ),
    "aws_cloudwatch_log_group": TerraformType(
        "AWS::Logs::LogGroup", {"arn": arn("logs", "log-group:{id}")}, {"name": "LogGroupName"}
    ),
    "aws_cloudwatch_metric_alarm": TerraformType(
        "AWS::CloudWatch::Alarm",
        rules={
            "ok_actions": "OKActions",
            "dimensions": lambda value: {"Dimensions": dimensions(value)},
            "metric_query": lambda value: {"Metrics": [metric_query(query) for query in value]},
        },
    ),
    "aws_dynamodb_table": TerraformType(
        "AWS::DynamoDB::Table",
        {},
        {
            "name": "TableName",
            "hash_key": lambda value: {"KeySchema": [{"AttributeName": value, "KeyType": "HASH"}]},
            "range_key": lambda value: {"RangeKey": value},
            "attribute": blocks("AttributeDefinitions", {"name": "AttributeName", "type": "AttributeType"}),
            "ttl": block("TimeToLiveSpecification"),
            "point_in_time_recovery": block("PointInTimeRecoverySpecification",
            {"enabled": "PointInTimeRecoveryEnabled"}),
            "server_side_encryption": block(
                "SSESpecification",
                {"enabled": lambda value: {"SSEEnabled": value, "SSEType": "KMS"}, "kms_key_arn": "KMSMasterKeyId"},
            ),
        },
    ),
    "aws_ecs_cluster": TerraformType(
        "AWS::ECS::Cluster", {"id": "Arn", "arn": "Arn"}, {"name": "ClusterName", "setting": blocks("ClusterSettings")}
    ),
    "aws_ecs_service": TerraformType(
        "AWS::ECS::Service",
        {"id": "Ref"},
        {
            "name": "ServiceName",
            "deployment_minimum_healthy_percent": "DeploymentConfiguration/MinimumHealthyPercent",
            "deployment_maximum_percent": "DeploymentConfiguration/MaximumPercent",
            "deployment_circuit_breaker": block("DeploymentConfiguration/DeploymentCircuitBreaker"),
            "network_configuration": block(
                "NetworkConfiguration/AwsvpcConfiguration",
                {"assign_public_ip": choice("AssignPublicIp", {True: "ENABLED", False: "DISABLED"})},
            ),
            "load_balancer": blocks("LoadBalancers"),
        },
    ),
    "aws_ecs_task_definition": TerraformType(
        "AWS::ECS::TaskDefinition",
        {"arn": "Ref"},
        {
            "container_definitions": lambda value: {"ContainerDefinitions": capitalised(json.loads(value))},
            "runtime_platform": block("RuntimePlatform"),
        },
    ),
    "aws_iam_role": TerraformType(
        "AWS::IAM::Role",
        {"id": "Ref", "arn": "Arn"},
        {"name": "RoleName", "assume_role_policy": document("AssumeRolePolicyDocument")},
    ),
    "aws_iam_role_policy": TerraformType(
        "AWS::IAM::RolePolicy",
        rules={"role": "RoleName", "name": "PolicyName", "policy": document("PolicyDocument")},
    ),
    "aws_lambda_alias": TerraformType("AWS::Lambda::Alias", {"arn": "Ref"}),
    "aws_lambda_function": TerraformType(
        "AWS::Lambda::Function",
        {"arn": "Arn", "version": "newest"},
        {
            "filename": "Code/Package",
            # By it alone does Terraform see that the package has changed.
            "source_code_hash": "Code/Digest",
            # It makes what is a resource of its own in CloudFormation: `graph` adds it.
            "publish": "Publish",
            "environment": block("Environment"),
            "logging_config": block("LoggingConfig"),
            "tracing_config": block("TracingConfig"),
            "vpc_config": block("VpcConfig"),
            "reserved_concurrent_executions": lambda value: (
                {} if value == -1 else {"ReservedConcurrentExecutions": value}
            ),
        },
    ),
    "aws_lambda_function_url": TerraformType(
        "AWS::Lambda::Url",
        {"function_url": "FunctionUrl", "url_id": "{id}"},
        {"function_name": "TargetFunctionArn", "authorization_type": "AuthType"},
    ),
    "aws_lambda_permission": TerraformType(
        "AWS::Lambda::Permission", rules={"statement_id": left_out("CloudFormation names a permission itself")}
    ),
    "aws_lambda_provisioned_concurrency_config": TerraformType(
        "Terraform::ProvisionedConcurrency"
    ),
    "aws_lb_listener_rule": TerraformType(
        "AWS::ElasticLoadBalancingV2::ListenerRule",
        rules={
            "action": blocks("Actions"),
            "condition": lambda value: {"Conditions": [listener_condition(condition) for condition in value]},
        },
    ),
    "aws_lb_target_group": TerraformType(
        "AWS::ElasticLoadBalancingV2::TargetGroup",
        {"arn": "Ref"},
        {
            "deregistration_delay": "TargetGroupAttributes/deregistration_delay.timeout_seconds",
            "lambda_multi_value_headers_enabled": "TargetGroupAttributes/lambda.multi_value_headers.enabled",
            "health_check": block(
                "",
                {
                    "enabled": "HealthCheckEnabled",
                    "path": "HealthCheckPath",
                    "protocol": "HealthCheckProtocol",
                    "matcher": "Matcher/HttpCode",
                    "interval": "HealthCheckIntervalSeconds",
                    "timeout": "HealthCheckTimeoutSeconds",
                    "healthy_threshold": "HealthyThresholdCount",
                    "unhealthy_threshold": "UnhealthyThresholdCount",
                },
            ),
        },
    ),
    "aws_lb_target_group_attachment": TerraformType(
        "Terraform::Target", rules={"target_id": "Id"}
    ),
    "aws_security_group": TerraformType(
        "AWS::EC2::SecurityGroup", {"id": "Ref"}, {"name": "GroupName", "description": "GroupDescription"}
    ),
    "aws_vpc_security_group_egress_rule": TerraformType(
        "AWS::EC2::SecurityGroupEgress",
        rules={**SECURITY_GROUP_RULE, "security_group_id": "GroupId"},
    ),
    "aws_vpc_security_group_ingress_rule": TerraformType(
        "AWS::EC2::SecurityGroupIngress",
        rules={**SECURITY_GROUP_RULE, "security_group_id": "GroupId"},
    ),
    "aws_wafv2_web_acl_association": TerraformType("AWS::WAFv2::WebACLAssociation", rules={"web_acl_arn": "WebACLArn"}),
}  # fmt: skip

# What a reference to Terraform's data gives.
DATA: dict[str, Properties] = {
    "aws_caller_identity": {"account_id": ACCOUNT},
    "aws_partition": {"partition": PARTITION, "dns_suffix": URL_SUFFIX},
    "aws_region": {"id": REGION, "name": REGION},
}
