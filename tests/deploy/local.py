"""`make deploy-local`: the stack, applied and called, without an AWS account.

Applies the Terraform modules to moto for each front door and for ECS; then runs, for each, the package that was
deployed, with the environment and as the role that was deployed, behind a front door of its kind, and smoke-tests it as
a user does. What must be refused is tried, too. At the end a second plan must be empty, and nothing may be left after
`destroy`.

Usage: local.py ARCHITECTURE ZIP FOLDER: of this machine, the package for it, and where everything that is made goes.
"""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cloud
import faults
import terraform
from cloud import Cloud
from instances import Running, running_function, running_service
from sigv4 import Signer
from stacks import (
    CI,
    FORGOTTEN,
    ISSUER,
    ROOT,
    Deployment,
    World,
    Wrong,
    deploy,
    deployments,
    drift,
    let_roles_trust,
    redeploy,
    require,
    seed,
    seed_roles,
)

SMOKE_SECONDS = 120
WHOLE_SECONDS = 900
# Of a secret, so many characters in a row are not seen. Fewer may be: tokens of one issuer begin alike.
PART = 60
ROLE_REFUSED = "AWS does not let this server act as your role"


def token(bootstrap: Path, running: Running, role: str) -> str:
    """A token of alice's, signed with the secret that the deployment may read."""
    command = [bootstrap, "token", "--issuer", ISSUER, "--subject", "alice", "--role", role]
    minted = subprocess.run(command, env=running.environment, capture_output=True, text=True, timeout=30)
    require(minted.returncode == 0, f"no token: {minted.stderr[-1000:]}")
    return minted.stdout.strip()


@dataclass
class Report:
    """What `make smoke` said: for each check, its verdict; the warnings; and everything."""

    failed: list[str]
    passed: list[str]
    warned: list[str]
    text: str


def parts_of(secret: str) -> set[str]:
    """What must not be seen of a secret."""
    return {secret[at : at + PART] for at in range(max(1, len(secret) - PART + 1))}


def smoke(deployment: Deployment, running: Running, environment: dict[str, str], *arguments: str) -> Report:
    """Runs the smoke test as a user does, but for the address."""
    command = [sys.executable, str(ROOT / "scripts/smoke.py"), deployment.outputs["mcp_url"]]
    done = subprocess.run(
        [*command, "--connect", f"127.0.0.1:{running.port}", *arguments],
        env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        text=True,
        timeout=SMOKE_SECONDS,
    )
    lines = [line.partition(" ")[::2] for line in done.stdout.splitlines()]
    names = {
        verdict: [rest.strip().split(": ")[0] for first, rest in lines if first == verdict]
        for verdict in ("FAILED", "ok", "WARNING")
    }
    report = Report(names["FAILED"], names["ok"], names["WARNING"], done.stdout + done.stderr)
    require((done.returncode == 1) == bool(report.failed) and done.returncode in (0, 1), report.text)
    for secret in environment.values():
        is_shown = any(part in report.text for part in parts_of(secret))
        require(not is_shown or len(secret) < 20, "the smoke test printed a secret, or a part of one")
    return report


def try_refused() -> None:
    """What must not be sent, or not there: the smoke test refuses it beforehand, and does not print it."""
    url, hidden = "https://mcp.example.com/mcp", secrets.token_hex(30)
    good = {"TOKEN": hidden}
    keys = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": hidden}
    cases = [
        ([url], {}, "TOKEN=… make smoke URL=…"),
        ([url], {"TOKEN": f"{hidden}\n{hidden}"}, "TOKEN must be the token"),
        ([url], {"TOKEN": f"{hidden}\u2026"}, "TOKEN must be the token"),
        ([url], {"TOKEN": f"Bearer {hidden}"}, "TOKEN must be the token"),
        ([f"https://me:{hidden}@mcp.example.com/mcp"], good, "URL must hold neither user nor password"),
        ([f"https://me:{hidden}@[mcp/mcp"], good, "URL must be the URL"),
        (["http://mcp.example.com/mcp"], good, "URL must begin with https://"),
        ([url, hidden], good, "there is one argument"),
        ([url, "--connect", "203.0.113.7:80"], good, "--connect must be a port of this machine"),
        ([url, "--role", f"arn:aws:iam::{CI}:role/Ci\n{hidden}"], good, "ROLE must be the ARN of a role"),
        ([url, "--sigv4", "--region", "a\nb"], keys, "A region to sign for is needed"),
        ([url, "--sigv4", "--region", "x"], keys | {"AWS_SESSION_TOKEN": f"{hidden}\n-"}, "AWS credentials hold"),
    ]
    for arguments, environment, said in cases:
        done = subprocess.run(
            [sys.executable, str(ROOT / "scripts/smoke.py"), *arguments],
            env={"PATH": os.environ["PATH"]} | environment,
            capture_output=True,
            text=True,
            timeout=SMOKE_SECONDS,
        )
        # It says where it connects before it does.
        is_refused = done.returncode in (1, 2) and not done.stdout and said in done.stderr
        require(is_refused and hidden not in done.stderr, f"not refused with {said!r}:\n{done.stdout}{done.stderr}")
    print(f"ok      the smoke test refuses {len(cases)} inputs", flush=True)


def expect_good(report: Report, what: str, checks: int, warned: tuple[str, ...] = ()) -> None:
    is_good = not report.failed and report.warned == list(warned) and len(report.passed) == checks
    require(is_good, f"{what}:\n{report.text}")
    print(f"ok      {what}: {checks} checks", flush=True)


def expect_role_refused(report: Report, what: str) -> None:
    require(report.failed == ["aws"] and ROLE_REFUSED in report.text, f"{what}:\n{report.text}")
    print(f"ok      {what}: {ROLE_REFUSED}", flush=True)


def try_bearer(deployment: Deployment, running: Running, bootstrap: Path) -> list[str]:
    """Tries a deployment whose callers bring tokens; gives them."""
    used = []

    def with_role(role: str) -> Report:
        used.append(token(bootstrap, running, role))
        return smoke(deployment, running, {"TOKEN": used[-1]})

    # It renames the challenge, and its own host answers only below the stage.
    warned = ("challenge", "metadata") if deployment.kind == "rest_api" else ()
    expect_good(with_role(deployment.role), f"{deployment.kind}: {deployment.outputs['mcp_url']}", 11, warned)
    if deployment.kind in ("http_api", "ecs"):
        unlisted = f"{deployment.kind}: a role that is not in assumable_role_arns"
        expect_role_refused(with_role(deployment.unlisted_role), unlisted)
        distrusting = f"{deployment.kind}: a role that trusts another external id"
        expect_role_refused(with_role(deployment.distrusting_role), distrusting)
    if deployment.kind == "http_api":
        try_faults(deployment, running, used[0])
    return used


def try_faults(deployment: Deployment, running: Running, minted: str) -> None:
    """Lets things go wrong before the client: the checks that are there for it must fail, and no others."""
    for what, fault, failed in faults.FAULTS:
        running.door.fault = fault
        report = smoke(deployment, running, {"TOKEN": minted}, "--role", deployment.role)
        require(report.failed == failed, f"where {what}, not {failed} failed:\n{report.text}")
    print(f"ok      {deployment.kind}: the smoke test finds {len(faults.FAULTS)} faults", flush=True)


def try_signed(deployment: Deployment, running: Running, signer: Signer) -> list[str]:
    """Tries a deployment whose callers sign."""
    keys = {
        "AWS_ACCESS_KEY_ID": signer.access_key,
        "AWS_SECRET_ACCESS_KEY": signer.secret_key,
        "AWS_SESSION_TOKEN": signer.token,
    }

    def with_role(role: str, **changed: str) -> Report:
        return smoke(deployment, running, keys | changed, "--sigv4", "--role", role)

    expect_good(with_role(deployment.role), f"function_url: {deployment.outputs['mcp_url']}", 9)
    unlisted = "function_url: a role that is not in assumable_role_arns"
    expect_role_refused(with_role(deployment.unlisted_role), unlisted)
    forged = with_role(deployment.role, AWS_SECRET_ACCESS_KEY=secrets.token_urlsafe(30))
    require("healthz" in forged.failed and forged.passed == ["unsigned requests"], forged.text)
    print("ok      function_url: a forged signature", flush=True)
    return list(keys.values())[1:]


def is_clean(log: Path, hidden: list[str]) -> None:
    """A log has a line for each request, and no secret."""
    text = log.read_text()
    require('"request"' in text, f"{log} has no line of a request")
    for secret in hidden:
        require(secret not in text, f"{log} has a secret")


def try_all(aws: Cloud, world: World, made: list[Deployment], package: Path) -> None:
    credentials = aws.assume(f"arn:aws:iam::{CI}:role/Ci", "build-7")
    identity = aws.client("sts", credentials).get_caller_identity()
    signer = Signer(
        identity["Arn"],
        identity["Account"],
        identity["UserId"],
        credentials["AccessKeyId"],
        credentials["SecretAccessKey"],
        credentials["SessionToken"],
    )
    for deployment in made:
        if deployment.kind == "ecs":
            with running_service(aws, deployment, package) as running:
                used = try_bearer(deployment, running, deployment.folder / "service" / "bootstrap")
        else:
            with running_function(aws, deployment, package, [signer]) as running:
                if deployment.kind == "function_url":
                    used = try_signed(deployment, running, signer)
                else:
                    used = try_bearer(deployment, running, deployment.folder / "function" / "bootstrap")
        keys = [running.environment[name] for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")]
        is_clean(running.log, [*used, world.secret_text, *keys])


def try_without_secret(aws: Cloud, deployment: Deployment, package: Path) -> None:
    """Takes the secret out of what the function may read. A token minted before is no longer judged."""
    with running_function(aws, deployment, package, []) as running:
        minted = token(deployment.folder / "function" / "bootstrap", running, deployment.role)
    redeploy(aws, deployment, secret_arns=[])
    with running_function(aws, deployment, package, []) as running:
        report = smoke(deployment, running, {"TOKEN": minted})
        require(
            report.failed == faults.ASKED and "came 503" in report.text and report.text.count("secret_arns") == 1,
            report.text,
        )
        require(report.passed[:4] == ["healthz", "challenge", "metadata", "bad token"], report.text)
    print(f"ok      {deployment.kind}: without secret_arns: refused at {report.failed[0]}", flush=True)
    redeploy(aws, deployment)


def try_wrong_mode(aws: Cloud, deployment: Deployment, package: Path) -> None:
    """Lets the function answer in the form of the other front doors: this one must not take it, or is told."""
    other = "BUFFERED" if deployment.kind == "rest_api" else "RESPONSE_STREAM"
    with running_function(aws, deployment, package, [], ROLECALL_INVOKE_MODE=other) as running:
        report = smoke(deployment, running, {"TOKEN": "not-looked-at"})
        is_said = "ROLECALL_INVOKE_MODE" in report.text if deployment.kind == "http_api" else bool(running.door.defects)
        require(not report.passed and is_said, report.text)
        running.door.defects.clear()
    print(f"ok      {deployment.kind}: invoke mode {other}: refused at {report.failed[0]}", flush=True)


def at_once(work: Callable[[Deployment], object], made: list[Deployment]) -> list:
    with ThreadPoolExecutor(max_workers=len(made)) as pool:
        return list(pool.map(work, made))


def main() -> int:
    architecture = sys.argv[1]
    package, folder = (Path(argument).resolve() for argument in sys.argv[2:])
    began = time.monotonic()

    def end(number: int, _: object) -> None:
        terraform.is_over.set()
        sys.exit(f"not done within {WHOLE_SECONDS} s" if number == signal.SIGALRM else "ended")

    # However it is ended, what it started ends.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, end)
    signal.alarm(WHOLE_SECONDS)

    def step(done: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {done}", flush=True)

    try_refused()
    (folder / "plans").mkdir(parents=True, exist_ok=True)
    with cloud.running() as aws:
        world = seed(aws)
        made = deployments(world, architecture, package, folder)
        seed_roles(aws, made)
        before = aws.inventory()
        at_once(lambda deployment: deploy(aws, deployment), made)
        things = sum(aws.inventory().values()) - sum(before.values())
        require(things > 10 * len(made), f"only {things} things were made, as far as can be seen")
        step(f"{len(made)} stacks applied: {things} things")
        for deployment in made:
            let_roles_trust(aws, deployment)
        try_all(aws, world, made, package)
        try_without_secret(aws, made[0], package)
        for deployment in made[:2]:
            try_wrong_mode(aws, deployment, package)
        step("all tried")
        changed = set().union(*at_once(lambda deployment: drift(aws, deployment), made))
        require(changed == FORGOTTEN.keys(), f"a second plan would change {sorted(changed)}, not {sorted(FORGOTTEN)}")
        step(f"a second plan is empty, but for {len(changed)} attributes that moto forgets")
        at_once(lambda deployment: terraform.destroy(deployment.folder / "terraform", aws.environment()), made)
        after = aws.inventory()
        left = {kind: count - before.get(kind, 0) for kind, count in after.items() if count > before.get(kind, 0)}
        require(not left, f"destroy left {left}")
        step("destroyed, and nothing is left")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Wrong as wrong:
        print(f"FAILED  {wrong}", file=sys.stderr)
        sys.exit(1)
