"""What was deployed, run on this machine: a function behind its front door, and the container of a service.

In comes a stack that was applied; all that is run is taken from what moto says was deployed: the environment, the role,
the front door's integration, rules and permission. Out goes a port that answers as the stack's URL would.
"""

import base64
import hashlib
import json
import re
import ssl
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import front_door
import function
from cloud import ACCOUNT, REGION, Cloud
from sigv4 import Signer
from stacks import Deployment, Wrong, require


def additions(aws: Cloud, role: str) -> dict[str, str]:
    """What a process gets beside what was deployed: where AWS is here, and the credentials of its role."""
    credentials = aws.assume(role, "instance")
    bundle = ssl.get_default_verify_paths().cafile
    return {
        "AWS_ENDPOINT_URL": aws.endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["SessionToken"],
    } | ({"SSL_CERT_FILE": bundle} if bundle else {})


def unpacked(package: Path, folder: Path) -> Path:
    """The package's only entry, as Lambda unpacks it."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(package) as archive:
        [entry] = archive.infolist()
        mode = entry.external_attr >> 16
        require(entry.filename == "bootstrap" and stat.S_IMODE(mode) & 0o111 == 0o111, f"the package holds {entry}")
        target = folder / "bootstrap"
        target.write_bytes(archive.read(entry))
        target.chmod(0o755)
        return target


@dataclass
class Running:
    """A deployment that can be called at a local port under its own URL."""

    port: int
    environment: dict[str, str]
    log: Path
    door: front_door.Server | None = None


def door_of(aws: Cloud, deployment: Deployment, alias: str) -> front_door.FrontDoor:
    """The front door as moto says it was deployed."""
    kind = front_door.KINDS[deployment.kind]
    host = deployment.outputs["mcp_url"].split("/")[2]
    api_id = deployment.outputs.get("api_id", "")
    invocation = f"arn:aws:apigateway:{REGION}:lambda:path/{{}}/functions/{alias}/{{}}"
    if deployment.kind == "http_api":
        apis = aws.client("apigatewayv2")
        [integration] = apis.get_integrations(ApiId=api_id)["Items"]
        uri = invocation.format("2015-03-31", "invocations")
        require((integration["PayloadFormatVersion"], integration["IntegrationUri"]) == ("2.0", uri), f"{integration}")
        [stage] = apis.get_stages(ApiId=api_id)["Items"]
        permitted(
            aws,
            deployment,
            "apigateway.amazonaws.com",
            f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api_id}/$default/$default",
        )
        return kind(host, api_id, ACCOUNT, stage["StageName"])
    if deployment.kind == "rest_api":
        apis = aws.client("apigateway")
        resources = apis.get_resources(restApiId=api_id, embed=["methods"])["items"]
        [proxy] = [resource for resource in resources if resource["path"] == "/{proxy+}"]
        # moto keeps the extension's name of the method ANY.
        [method] = proxy["resourceMethods"].values()
        integration = method["methodIntegration"]
        uri = invocation.format("2021-11-15", "response-streaming-invocations")
        require((integration["type"].lower(), integration["uri"]) == ("aws_proxy", uri), f"{integration}")
        [stage] = apis.get_stages(restApiId=api_id)["item"]
        permitted(
            aws,
            deployment,
            "apigateway.amazonaws.com",
            f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api_id}/{stage['stageName']}/POST/mcp",
        )
        return kind(host, api_id, ACCOUNT, stage["stageName"])
    if deployment.kind == "alb":
        balancing = aws.client("elbv2")
        [group] = balancing.describe_target_groups(Names=[deployment.name])["TargetGroups"]
        attributes = balancing.describe_target_group_attributes(TargetGroupArn=group["TargetGroupArn"])["Attributes"]
        require({"Key": "lambda.multi_value_headers.enabled", "Value": "true"} in attributes, f"{attributes}")
        [target] = balancing.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
        require(target["Target"]["Id"] == alias, f"{target}")
        permitted(aws, deployment, "elasticloadbalancing.amazonaws.com", group["TargetGroupArn"])
        return kind(
            host, rules=rules_of(aws, deployment, group["TargetGroupArn"]), target_group=group["TargetGroupArn"]
        )
    url = aws.client("lambda").get_function_url_config(FunctionName=deployment.name, Qualifier="live")
    require((url["AuthType"], url["InvokeMode"]) == ("AWS_IAM", "RESPONSE_STREAM"), f"{url}")
    require(url["FunctionUrl"].split("/")[2] == host, f"{url}")
    return kind(host, api_id, region=REGION)


def rules_of(aws: Cloud, deployment: Deployment, group: str) -> list[tuple[list[str], list[str]]]:
    """The listener's rules that forward to a target group: paths and hosts."""
    rules = aws.client("elbv2").describe_rules(ListenerArn=deployment.inputs["alb_listener_arn"])["Rules"]
    ours = [rule for rule in rules if any(action.get("TargetGroupArn") == group for action in rule["Actions"])]

    def values(rule: dict, field: str) -> list[str]:
        configs = {"path-pattern": "PathPatternConfig", "host-header": "HostHeaderConfig"}
        return [value for one in rule["Conditions"] if one["Field"] == field for value in one[configs[field]]["Values"]]

    return [(values(rule, "path-pattern"), values(rule, "host-header")) for rule in ours]


def permitted(aws: Cloud, deployment: Deployment, service: str, source: str) -> None:
    """Whether the function lets this front door invoke its alias, and nobody else."""
    statements = json.loads(aws.client("lambda").get_policy(FunctionName=deployment.name, Qualifier="live")["Policy"])[
        "Statement"
    ]
    require(len(statements) == 1, f"{statements}")
    [statement] = statements
    pattern = statement["Condition"]["ArnLike"]["AWS:SourceArn"]
    require(
        statement["Principal"] == {"Service": service} and statement["Action"] == "lambda:InvokeFunction",
        f"{statement}",
    )
    require(bool(re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), source)), f"{pattern} is not {source}")


@contextmanager
def running_function(
    aws: Cloud, deployment: Deployment, package: Path, signers: list[Signer], **changed: str
) -> Iterator[Running]:
    """Runs the function behind its front door; what is `changed` of its environment was not deployed."""
    alias = aws.client("lambda").get_alias(FunctionName=deployment.name, Name="live")
    deployed = aws.client("lambda").get_function(FunctionName=deployment.name, Qualifier=alias["FunctionVersion"])[
        "Configuration"
    ]
    digest = base64.b64encode(hashlib.sha256(package.read_bytes()).digest()).decode()
    require(deployed["CodeSha256"] == digest, "the deployed package is another one")
    require(deployed["Role"] == deployment.outputs["execution_role_arn"], f"the role is {deployed['Role']}")
    door = door_of(aws, deployment, alias["AliasArn"])
    door.signers = signers
    more = additions(aws, deployed["Role"]) | changed
    folder = deployment.folder / "function"
    bootstrap = unpacked(package, folder)
    with (
        aws.enforced(),
        function.running(bootstrap, folder, deployed, more) as instance,
        front_door.serving(door, instance) as server,
    ):
        defects, environment = server.defects, deployed["Environment"]["Variables"] | more
        try:
            yield Running(server.server_address[1], environment, instance.log, server)
        except Wrong as wrong:
            raise Wrong(f"{wrong}\n{defects + instance.relay.defects}") from None
        require(not defects + instance.relay.defects, f"{deployment.name}: {defects + instance.relay.defects}")


@contextmanager
def running_service(aws: Cloud, deployment: Deployment, package: Path) -> Iterator[Running]:
    """Runs the container of the task that the service runs."""
    ecs = aws.client("ecs")
    [service] = ecs.describe_services(
        cluster=deployment.outputs["cluster_name"], services=[deployment.outputs["service_name"]]
    )["services"]
    task = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
    require(task["taskRoleArn"] == deployment.outputs["task_role_arn"], f"the role is {task['taskRoleArn']}")
    [container] = task["containerDefinitions"]
    [group] = aws.client("elbv2").describe_target_groups(
        TargetGroupArns=[service["loadBalancers"][0]["targetGroupArn"]]
    )["TargetGroups"]
    require((group["HealthCheckPath"], group["Matcher"]["HttpCode"]) == ("/healthz", "200,503"), f"{group}")
    require(bool(rules_of(aws, deployment, group["TargetGroupArn"])), "no rule forwards to the service")
    given = {variable["name"]: variable["value"] for variable in container["environment"]}
    environment = given | additions(aws, task["taskRoleArn"])
    folder = deployment.folder / "service"
    bootstrap = unpacked(package, folder)
    # The task's own port may be taken here.
    command = [argument.replace(":8080", ":0") for argument in container["command"]]
    log = folder / "service.log"
    with aws.enforced(), function.process([str(bootstrap), *command], folder, environment, log) as process:
        port = re.compile(r"http://[^\s\"]+:(\d+)")
        function.eventually(lambda: port.search(log.read_text()) or process.poll() is not None, "the service's port")
        require(process.poll() is None, f"the service ended: {log.read_text()[-2000:]}")
        yield Running(int(port.search(log.read_text()).group(1)), environment, log)
