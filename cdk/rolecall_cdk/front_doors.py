"""The front doors of the function: HTTP API, REST API, load balancer and function URL.

In come inputs and what the door shall call; out go the door's resources. None of an API's resources refers to the
function, whose environment refers to the API: only the permission does.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_apigateway as rest
from aws_cdk import aws_apigatewayv2 as http
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_wafv2 as waf
from constructs import Construct

from rolecall_cdk.inputs import RolecallInputs
from rolecall_cdk.shared import acknowledge, arn, listener_rules, log_group

ROLECALL_AUTHENTICATES = "Rolecall authenticates each request itself, and does nothing for whom it does not know."

ACCESS_LOG_FORMAT = {
    "requestId": "$context.requestId",
    "time": "$context.requestTime",
    "ip": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    "path": "$context.path",
    "status": "$context.status",
    "error": "$context.error.message",
    "integrationError": "$context.integrationErrorMessage",
    "latency": "$context.responseLatency",
}


@dataclass(frozen=True)
class Api:
    """An API that calls the function."""

    id: str
    url: str
    calls_from: str
    """Which of its stages, methods and paths call: the end of an ARN."""


def api(scope: Construct, inputs: RolecallInputs, called_arn: str) -> Api | None:
    """The API, if the front door is one."""
    makers = {"http_api": http_api, "rest_api": rest_api}
    return makers[inputs.front_door](scope, inputs, called_arn) if inputs.front_door in makers else None


def integration_uri(stack: Stack, called_arn: str, invocation: str) -> str:
    """What an API calls: a function, by API Gateway's own name for one of Lambda's calls."""
    version, call = invocation.split("/")
    return f"arn:{stack.partition}:apigateway:{stack.region}:lambda:path/{version}/functions/{called_arn}/{call}"


def http_api(scope: Construct, inputs: RolecallInputs, called_arn: str) -> Api:
    """API Gateway's HTTP API. Answers are whole, within 30 seconds."""
    stack = Stack.of(scope)
    http_api = http.CfnApi(scope, "HttpApi", name=inputs.name, protocol_type="HTTP")
    integration = http.CfnIntegration(
        scope,
        "HttpApiIntegration",
        api_id=http_api.ref,
        integration_type="AWS_PROXY",
        integration_uri=integration_uri(stack, called_arn, "2015-03-31/invocations"),
        payload_format_version="2.0",
        timeout_in_millis=30000,
    )
    route = http.CfnRoute(
        scope,
        "HttpApiRoute",
        api_id=http_api.ref,
        route_key="$default",
        target=f"integrations/{integration.ref}",
    )
    acknowledge(route, {"AwsSolutions-APIG4": ROLECALL_AUTHENTICATES})
    # What is refused before it reaches the function is in no other log.
    # The prefix is one that the account's resource policy names once, for all such groups: AWS adds any other to it,
    # until it is full.
    access_logs = log_group(scope, "HttpApiLogGroup", f"/aws/vendedlogs/apigateway/{inputs.name}", inputs)
    http.CfnStage(
        scope,
        "HttpApiStage",
        api_id=http_api.ref,
        stage_name="$default",
        auto_deploy=True,
        access_log_settings=http.CfnStage.AccessLogSettingsProperty(
            destination_arn=arn(stack, "logs", f"log-group:{access_logs.ref}"),
            format=json.dumps(ACCESS_LOG_FORMAT, separators=(",", ":")),
        ),
    )
    return Api(http_api.ref, f"https://{http_api.ref}.execute-api.{stack.region}.{stack.url_suffix}", "*/*")


def rest_api(scope: Construct, inputs: RolecallInputs, called_arn: str) -> Api:
    """API Gateway's REST API. Answers are streamed, for up to 15 minutes, and a WAF can stand before it."""
    stack = Stack.of(scope)
    body = open_api(inputs.name, integration_uri(stack, called_arn, "2021-11-15/response-streaming-invocations"))
    rest_api = rest.CfnRestApi(
        scope,
        "RestApi",
        name=inputs.name,
        body=body,
        # The body is the whole API: what a later one lacks, the API lacks too.
        mode="overwrite",
        endpoint_configuration=rest.CfnRestApi.EndpointConfigurationProperty(types=["REGIONAL"]),
    )
    api_id = rest_api.ref
    acknowledge(rest_api, {"AwsSolutions-APIG2": "Rolecall reads each request strictly by itself."})
    # A deployment is a picture of the API as it was: a change of the body needs another.
    digest = hashlib.sha256(json.dumps(stack.resolve(body), sort_keys=True).encode()).hexdigest()[:8]
    deployment = rest.CfnDeployment(scope, f"RestApiDeployment{digest}", rest_api_id=api_id)
    stage = rest.CfnStage(
        scope,
        "RestApiStage",
        rest_api_id=api_id,
        deployment_id=deployment.ref,
        stage_name="live",
        tracing_enabled=inputs.enable_xray,
    )
    own_logs = "A REST API's logs need a role for all APIs of the account. Rolecall writes a line for each request."
    acknowledge(stage, {"AwsSolutions-APIG1": own_logs, "AwsSolutions-APIG6": own_logs})
    if inputs.web_acl_arn:
        waf.CfnWebACLAssociation(
            scope,
            "WebAclAssociation",
            web_acl_arn=inputs.web_acl_arn,
            resource_arn=f"arn:{stack.partition}:apigateway:{stack.region}::/restapis/{api_id}/stages/{stage.ref}",
        )
    else:
        acknowledge(stage, {"AwsSolutions-APIG3": "A web ACL costs money: whoever wants one gives web_acl_arn."})
    return Api(api_id, f"https://{api_id}.execute-api.{stack.region}.{stack.url_suffix}/live", "*/*/*")


def open_api(name: str, uri: str) -> dict[str, Any]:
    """The REST API's definition: every request goes to the function."""
    integration = {
        "type": "aws_proxy",
        "httpMethod": "POST",
        "uri": uri,
        "responseTransferMode": "STREAM",
        "timeoutInMillis": 900000,
        "passthroughBehavior": "when_no_match",
    }
    proxy = {"name": "proxy", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "openapi": "3.0.1",
        "info": {"title": name, "version": "1"},
        "paths": {
            "/{proxy+}": {
                "x-amazon-apigateway-any-method": {
                    "parameters": [proxy],
                    "x-amazon-apigateway-integration": integration,
                }
            }
        },
        # What API Gateway answers by itself. It renames the function's own WWW-Authenticate: only here can it be set.
        "x-amazon-apigateway-gateway-responses": {
            "MISSING_AUTHENTICATION_TOKEN": {
                "statusCode": 404,
                "responseTemplates": {"application/json": '{"error":"not_found"}'},
            },
            "UNAUTHORIZED": {
                "statusCode": 401,
                "responseParameters": {"gatewayresponse.header.WWW-Authenticate": "'Bearer'"},
                "responseTemplates": {"application/json": '{"error":"unauthorized"}'},
            },
        },
    }


def let_api_call(scope: Construct, inputs: RolecallInputs, api: Api, alias: lambda_.CfnAlias) -> None:
    """The permission for an API to call the function."""
    lambda_.CfnPermission(
        scope,
        {"http_api": "HttpApiPermission", "rest_api": "RestApiPermission"}[inputs.front_door],
        action="lambda:InvokeFunction",
        function_name=alias.ref,
        principal="apigateway.amazonaws.com",
        source_arn=arn(Stack.of(scope), "execute-api", f"{api.id}/{api.calls_from}"),
    )


def load_balancer(scope: Construct, inputs: RolecallInputs, alias: lambda_.CfnAlias) -> None:
    """Rules of a load balancer that is there already. Answers are whole, and at most 1 MB."""
    permission = lambda_.CfnPermission(
        scope,
        "AlbPermission",
        action="lambda:InvokeFunction",
        function_name=alias.ref,
        principal="elasticloadbalancing.amazonaws.com",
        # By name: the group takes the function as its target only when the permission is there.
        source_arn=arn(Stack.of(scope), "elasticloadbalancing", f"targetgroup/{inputs.name}/*"),
    )
    group = elb.CfnTargetGroup(
        scope,
        "TargetGroup",
        name=inputs.name,
        target_type="lambda",
        # Each check would be a call of the function.
        health_check_enabled=False,
        health_check_interval_seconds=35,
        health_check_timeout_seconds=30,
        target_group_attributes=[
            elb.CfnTargetGroup.TargetGroupAttributeProperty(key="lambda.multi_value_headers.enabled", value="true")
        ],
        targets=[elb.CfnTargetGroup.TargetDescriptionProperty(id=alias.ref)],
    )
    group.add_resource_dependency(permission)
    listener_rules(scope, inputs, group.ref)


def function_url(scope: Construct, function: lambda_.CfnFunction, alias: lambda_.CfnAlias) -> lambda_.CfnUrl:
    """For callers that sign with AWS credentials. Who may call it, their own policies say."""
    url = lambda_.CfnUrl(
        scope,
        "FunctionUrl",
        target_function_arn=function.attr_arn,
        qualifier="live",
        auth_type="AWS_IAM",
        invoke_mode="RESPONSE_STREAM",
    )
    url.add_resource_dependency(alias)
    return url
