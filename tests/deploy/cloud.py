"""An AWS to deploy to: moto, and what its judgement of permissions lacks.

moto checks signatures and the actions of policies. Added here, because the deployment rests on it: a secret is judged
by its ARN; and assuming a role asks for `TagSession` and `SetSourceIdentity` where the request has tags or an identity,
of the caller's policy and of the trust policy of the role, whichever account that is in, with its conditions. And a
refusal has the form in which each service says it.

Run as a program, it prints its URL and serves until its standard input ends: whoever started it holds the other end, so
it never outlives them. To a line `inventory` it answers what there is.
"""

import fnmatch
import gc
import json
import logging
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import boto3

REGION = "us-east-1"
ACCOUNT = "123456789012"


def judge_as_aws_does() -> None:
    """Adds what moto lacks."""
    from moto.core.exceptions import AccessDeniedError, JsonRESTError
    from moto.iam.access_control import IAMRequest, IAMRequestBase
    from moto.iam.exceptions import NotFoundException
    from moto.iam.models import iam_backends
    from moto.secretsmanager.responses import SecretsManagerResponse

    by_policy = IAMRequestBase.check_action_permitted

    def check(request: IAMRequestBase, resource: str) -> None:
        if request._action != "sts:AssumeRole":
            by_policy(request, resource)
            return
        for action in assumption_actions(request._data):
            request._action = action
            by_policy(request, resource)
        key = request._access_key
        role_name = getattr(key, "_owner_role_name", None)
        principal = key.backend.get_role(role_name).arn if role_name else key.arn
        try:
            role = iam_backends[resource.split(":")[4]]["aws"].get_role_by_arn(resource)
        except NotFoundException:
            request._raise_access_denied()
        if not trusts(json.loads(role.assume_role_policy_document), principal, request._data):
            request._raise_access_denied()

    def refuse(request: IAMRequest) -> None:
        refusal = AccessDeniedError(request._access_key.arn, request._action)
        if request._service == "secretsmanager":
            raise JsonRESTError("AccessDeniedException", refusal.message)
        refusal.description = refusal.description.replace("<Errors>", "").replace("</Errors>", "")
        raise refusal

    def secret(request: SecretsManagerResponse) -> str:
        named = request._get_param("SecretId") or ""
        return named if named.startswith("arn:") else "*"

    IAMRequestBase.check_action_permitted = check
    IAMRequest._raise_access_denied = refuse
    # moto's own look at trust policies: of the same account only, and of ARNs of sessions.
    IAMRequestBase._is_assuming_role_operation = lambda _request, _resource: False
    SecretsManagerResponse._determine_resource = secret


def assumption_actions(data: dict[str, list[str]]) -> list[str]:
    """All that a request to assume a role asks for."""
    has_tags = any(name.startswith("Tags.") for name in data)
    return [
        "sts:AssumeRole",
        *(["sts:TagSession"] if has_tags else []),
        *(["sts:SetSourceIdentity"] if "SourceIdentity" in data else []),
    ]


def trusts(policy: dict, principal: str, data: dict[str, list[str]]) -> bool:
    """Whether a trust policy of statements that allow lets `principal` make the request."""

    def listed(value: str | list[str]) -> list[str]:
        return [value] if isinstance(value, str) else value

    def holds(statement: dict, action: str) -> bool:
        if statement["Effect"] != "Allow" or statement.keys() - {"Sid", "Effect", "Principal", "Action", "Condition"}:
            raise NotImplementedError(f"a trust policy with {statement}")
        keys = {"sts:ExternalId": "ExternalId", "sts:SourceIdentity": "SourceIdentity"}
        for operator, conditions in statement.get("Condition", {}).items():
            matches = {"StringEquals": str.__eq__, "StringLike": fnmatch.fnmatchcase}[operator]
            for key, wanted in conditions.items():
                given = data.get(keys[key], [None])[0]
                if given is None or not any(matches(given, one) for one in listed(wanted)):
                    return False
        principals = listed(statement["Principal"].get("AWS", []))
        return action in listed(statement["Action"]) and ("*" in principals or principal in principals)

    return all(
        any(holds(statement, action) for statement in policy["Statement"]) for action in assumption_actions(data)
    )


def inventory() -> dict[str, int]:
    """How many objects of each of moto's classes its services hold, wherever they hold them."""
    from moto.core.base_backend import AccountSpecificBackend, BackendDict, BaseBackend

    counts: Counter[str] = Counter()
    seen: set[int] = set()
    rest = [found for found in gc.get_objects() if isinstance(found, BackendDict)]
    while rest:
        found = rest.pop()
        is_model = type(found).__module__.startswith("moto.")
        if id(found) in seen or not (is_model or isinstance(found, (dict, list, tuple, set))) or is_gone(found):
            continue
        seen.add(id(found))
        if isinstance(found, BaseBackend):
            # What a service is made of is no thing of a user's.
            rest.extend(held for shelf in vars(found).values() for held in gc.get_referents(shelf))
        else:
            if is_model and not isinstance(found, (BackendDict, AccountSpecificBackend)):
                counts[f"{type(found).__module__.split('.')[1]}.{type(found).__name__}"] += 1
            rest.extend(gc.get_referents(found))
    return counts


def is_gone(found: object) -> bool:
    """Whether it is there in moto's memory only."""
    # A class remembers all that it ever made.
    is_class = isinstance(found, type)
    # Sessions of assumed roles, which come with whoever calls.
    is_session = (
        type(found).__module__.startswith("moto.sts.")
        or getattr(found, "role_arn", None)
        and type(found).__name__ == "AccessKey"
    )
    # ECS, AWS's too, describes for a while what was deleted.
    is_inactive = getattr(found, "status", None) == "INACTIVE"
    return is_class or is_session or is_inactive


class Cloud:
    """A running one."""

    def __init__(self, process: subprocess.Popen):
        self.process = process
        self.endpoint = process.stdout.readline().strip()
        if not self.endpoint:
            raise RuntimeError("moto did not start")

    def client(self, service: str, credentials: dict[str, str] | None = None):
        """A client of `service`: of the account that is deployed to, or with the credentials of an assumed role."""
        given = credentials or {"AccessKeyId": "test", "SecretAccessKey": "test", "SessionToken": None}
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
        )

    def assume(self, role: str, session: str) -> dict[str, str]:
        """Credentials of a role, without asking whether it trusts anyone: for the services that would be asked."""
        return self.client("sts").assume_role(RoleArn=role, RoleSessionName=session)["Credentials"]

    def environment(self) -> dict[str, str]:
        """The variables with which a program talks to this AWS and to no other."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Checks every request, in here. Otherwise everyone is believed."""
        self.believe_requests("0")
        try:
            yield
        finally:
            self.believe_requests("inf")

    def believe_requests(self, number: str) -> None:
        headers = {"Content-Type": "text/plain"}
        url = f"{self.endpoint}/moto-api/reset-auth"
        order = urllib.request.Request(url, data=number.encode(), headers=headers)
        urllib.request.urlopen(order, timeout=30).close()

    def inventory(self) -> dict[str, int]:
        """How many there are of each kind of thing, in every service."""
        self.process.stdin.write("inventory\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextmanager
def running() -> Iterator[Cloud]:
    """Starts one in a process of its own."""
    process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Cloud(process)
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=10)
        finally:
            process.kill()


def main() -> None:
    from moto.server import ThreadedMotoServer

    judge_as_aws_does()
    # A line for each request says nothing to whoever runs this.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)
    for line in sys.stdin:
        if line == "inventory\n":
            print(json.dumps(inventory()), flush=True)
    server.stop()


if __name__ == "__main__":
    main()
