"""What `make deploy-local` deploys: the stacks, and what a user has before they deploy.

In comes an AWS; out go stacks that were applied, with their outputs, and the roles of callers that trust them.
"""

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path

import terraform
from cloud import REGION, Cloud

ROOT = Path(__file__).resolve().parent.parent.parent
ISSUER, AUDIENCE = "quilt-frontend", "quilt-mcp-server"
ALICE, BOB, CI = "111111111111", "222222222222", "333333333333"
# What a second plan would change, of which resources, and why that is moto's doing.
FORGOTTEN = {
    ("aws_lambda_function", "logging_config"): "moto does not return it",
    ("aws_lambda_function", "qualified_arn"): "a change of the function publishes a version",
    ("aws_lambda_function", "qualified_invoke_arn"): "a change of the function publishes a version",
    ("aws_lambda_function", "version"): "a change of the function publishes a version",
    ("aws_lambda_alias", "function_version"): "a change of the function publishes a version",
    ("aws_ecs_service", "availability_zone_rebalancing"): "moto does not return it",
    ("aws_ecs_service", "health_check_grace_period_seconds"): "moto does not keep it",
    ("aws_vpc_security_group_ingress_rule", "description"): "moto does not keep it where a group is referenced",
}


class Wrong(Exception):
    """Something is not as it must be."""


def require(holds: bool, sentence: str) -> None:
    if not holds:
        raise Wrong(sentence)


@dataclass
class Deployment:
    """One stack: how it is deployed, and what came of it."""

    name: str
    # A front door, or `ecs`.
    kind: str
    folder: Path
    inputs: dict
    outputs: dict = field(default_factory=dict)

    # Roles of callers. The first is as it should be, with a path, as it may be; the others must not work.
    @property
    def role(self) -> str:
        return f"arn:aws:iam::{ALICE}:role/callers/{self.name}-caller"

    @property
    def unlisted_role(self) -> str:
        return f"arn:aws:iam::{BOB}:role/{self.name}-unlisted"

    @property
    def distrusting_role(self) -> str:
        return f"arn:aws:iam::{BOB}:role/{self.name}-distrusting"


@dataclass
class World:
    """What a user has before they deploy."""

    secret: str
    secret_text: str
    vpc: str
    subnets: list[str]
    listener: str
    balancer_group: str
    web_acl: str
    topic: str
    key: str


def seed(aws: Cloud) -> World:
    text = secrets.token_urlsafe(48)
    secret = aws.client("secretsmanager").create_secret(Name="rolecall/jwt", SecretString=text)["ARN"]
    ec2 = aws.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:2]]
    group = ec2.create_security_group(GroupName="balancer", Description="The load balancer", VpcId=vpc)["GroupId"]
    balancing = aws.client("elbv2")
    made = balancing.create_load_balancer(Name="shared", Subnets=subnets, SecurityGroups=[group])
    not_found = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
    listener = balancing.create_listener(
        LoadBalancerArn=made["LoadBalancers"][0]["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[not_found],
    )["Listeners"][0]["ListenerArn"]
    visible = {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": "rolecall"}
    web_acl = aws.client("wafv2").create_web_acl(
        Name="rolecall", Scope="REGIONAL", DefaultAction={"Allow": {}}, VisibilityConfig=visible
    )["Summary"]["ARN"]
    first_table(aws)
    topic = aws.client("sns").create_topic(Name="alarms")["TopicArn"]
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    return World(secret, text, vpc, subnets, listener, group, web_acl, topic, key)


def first_table(aws: Cloud) -> None:
    """Makes a table, and deletes it: AWS's own key for tables comes with the first, and stays."""
    tables = aws.client("dynamodb")
    tables.create_table(
        TableName="first",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        SSESpecification={"Enabled": True, "SSEType": "KMS"},
    )
    tables.delete_table(TableName="first")


def account_client(aws: Cloud, service: str, account: str):
    """A client of another account."""
    return aws.client(service, aws.assume(f"arn:aws:iam::{account}:role/bootstrap", "seed"))


def policy(principal: dict, actions: list[str], condition: dict) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": actions} | (
        {"Condition": condition} if condition else {}
    )
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def path_and_name(role: str) -> tuple[str, str]:
    """A role's path and name, of its ARN."""
    path, _, name = role.partition(":role")[2].rpartition("/")
    return f"{path}/", name


def seed_roles(aws: Cloud, deployments: list[Deployment]) -> None:
    """Makes the roles of callers, which trust nobody yet."""
    nobody = policy({"AWS": f"arn:aws:iam::{ALICE}:role/nobody"}, ["sts:AssumeRole"], {})
    account_client(aws, "iam", CI).create_role(RoleName="Ci", AssumeRolePolicyDocument=nobody)
    for deployment in deployments:
        for role in (deployment.role, deployment.unlisted_role, deployment.distrusting_role):
            iam = account_client(aws, "iam", role.split(":")[4])
            path, name = path_and_name(role)
            iam.create_role(Path=path, RoleName=name, AssumeRolePolicyDocument=nobody)


def let_roles_trust(aws: Cloud, deployment: Deployment) -> None:
    """Gives the roles exactly the trust policy that the output says; one of them, that of another external id."""
    trust = deployment.outputs["role_trust_policy"]
    wrong = json.loads(trust)
    wrong["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"] = "another"
    for role, document in [
        (deployment.role, trust),
        (deployment.unlisted_role, trust),
        (deployment.distrusting_role, json.dumps(wrong)),
    ]:
        iam = account_client(aws, "iam", role.split(":")[4])
        iam.update_assume_role_policy(RoleName=path_and_name(role)[1], PolicyDocument=document)


def configuration(world: World) -> dict:
    """For callers with bearer tokens: the catalog's secret, and an issuer where users sign in."""
    return {
        "server": {"publicUrl": {"$env": "ROLECALL_PUBLIC_URL"}},
        "auth": {
            "issuers": [
                {"issuer": ISSUER, "audience": AUDIENCE, "hs256": {"$secret": world.secret}},
                {"issuer": "https://idp.example.com", "jwks": "discover"},
            ]
        },
        "roles": {
            "allow": [f"arn:aws:iam::{ALICE}:role/callers/rolecall-*", f"arn:aws:iam::{BOB}:role/rolecall-*"],
            "externalId": {"$env": "ROLECALL_EXTERNAL_ID"},
        },
    }


def signed_configuration(deployment: Deployment, api_id: str) -> dict:
    """For callers that sign with AWS credentials, behind the function URL of this id."""
    domain = f"{api_id}.lambda-url.{REGION}.on.aws"
    roles = [deployment.role, deployment.unlisted_role, deployment.distrusting_role]
    return {
        "server": {"allowedHosts": [domain]},
        "roles": {
            "header": "iam",
            "allow": roles,
            "externalId": {"$env": "ROLECALL_EXTERNAL_ID"},
            "iam": {
                "frontDoors": [{"kind": "function-url", "apiId": api_id, "domainName": domain}],
                "callers": [{"caller": f"arn:aws:sts::{CI}:assumed-role/Ci/*", "roles": roles}],
            },
        },
    }


def deployments(world: World, architecture: str, package: Path, folder: Path) -> list[Deployment]:
    """One for each front door, with the options that belong to it, and the service."""
    common = {"secret_arns": [world.secret], "configuration": json.dumps(configuration(world))}
    lambda_only = {"package_path": str(package)}
    network = {"vpc_id": world.vpc, "private_subnet_ids": world.subnets}
    listener = {"alb_listener_arn": world.listener}
    vault = {"enable_vault_table": True, "enable_deletion_protection": False, "kms_key_arn": world.key}
    made = [
        Deployment(
            "rolecall-http",
            "http_api",
            folder / "http_api",
            common | lambda_only | {"alarm_topic_arns": [world.topic]},
        ),
        Deployment(
            "rolecall-rest",
            "rest_api",
            folder / "rest_api",
            common | lambda_only | {"web_acl_arn": world.web_acl, "timeout_seconds": 60},
        ),
        Deployment(
            "rolecall-alb",
            "alb",
            folder / "alb",
            common
            | lambda_only
            | network
            | vault
            | listener
            | {"listener_host": "tools.example.com", "listener_base_path": "/rolecall"},
        ),
        Deployment("rolecall-url", "function_url", folder / "function_url", lambda_only),
        Deployment(
            "rolecall-ecs",
            "ecs",
            folder / "ecs",
            common
            | network
            | listener
            | {
                "listener_host": "mcp.example.com",
                "listener_priority": 200,
                "image": "rolecall:0.1.0",
                "alb_security_group_id": world.balancer_group,
            },
        ),
    ]
    for deployment in made:
        deployment.inputs |= {
            "name": deployment.name,
            "architecture": architecture,
            "assumable_role_arns": [deployment.role, deployment.distrusting_role],
            "tags": {"project": "deploy-local"},
        }
        if deployment.kind != "ecs":
            deployment.inputs["front_door"] = deployment.kind
        if deployment.kind == "function_url":
            deployment.inputs["configuration"] = json.dumps(signed_configuration(deployment, "unknown"))
    return made


def deploy(aws: Cloud, deployment: Deployment) -> None:
    environment = aws.environment()
    module = ROOT / "infra" / ("ecs" if deployment.kind == "ecs" else "")
    terraform.prepare(module, deployment.folder / "terraform", environment, deployment.inputs)
    # For whoever judges plans.
    first = terraform.plan(deployment.folder / "terraform", environment)
    (deployment.folder.parent / "plans" / f"{deployment.kind}.json").write_text(json.dumps(first))
    deployment.outputs = terraform.apply(deployment.folder / "terraform", environment)
    if deployment.kind == "function_url":
        # Its id is known now: the second of the two applies that a function URL needs.
        deployment.inputs["configuration"] = json.dumps(signed_configuration(deployment, deployment.outputs["api_id"]))
        redeploy(aws, deployment)


def redeploy(aws: Cloud, deployment: Deployment, **changed: object) -> None:
    terraform.give(deployment.folder / "terraform", deployment.inputs | changed)
    terraform.plan(deployment.folder / "terraform", aws.environment())
    deployment.outputs = terraform.apply(deployment.folder / "terraform", aws.environment())


def drift(aws: Cloud, deployment: Deployment) -> set[tuple[str, str]]:
    """What a second plan would change: types and attributes."""
    found = set()
    for resource in terraform.plan(deployment.folder / "terraform", aws.environment())["resource_changes"]:
        change = resource["change"]
        if change["actions"] in (["no-op"], ["read"]):
            continue
        require(
            change["actions"] == ["update"],
            f"{deployment.name}: a second plan would {change['actions']} {resource['address']}",
        )
        before, after, unknown = change["before"], change["after"], change["after_unknown"]
        names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        found |= {
            (resource["type"], name)
            for name in names | {name for name, is_unknown in unknown.items() if is_unknown is True}
        }
    return found
