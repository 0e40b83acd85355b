"""The app: its examples, what it says of inputs that it cannot use, and that it runs without CDK's command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Template
from conftest import CONFIGURATION, SERVICE

from app import rolecall_stack

CDK = Path(__file__).resolve().parent.parent


def stack(tmp_path: Path, given: Any, variant: str | None = None) -> Stack:
    """The app's stack for inputs as they stand in a file."""
    path = tmp_path / "inputs.json"
    path.write_text(given if isinstance(given, str) else json.dumps(given), encoding="utf-8")
    return rolecall_stack(App(context={"inputs": str(path)} | ({"variant": variant} if variant else {})))


def example(path: Path, package: Path) -> dict[str, Any]:
    """An example's inputs, with a package that is there."""
    given = json.loads(path.read_text(encoding="utf-8"))
    return given | ({"package_path": str(package)} if "package_path" in given else {})


@pytest.mark.parametrize("path", sorted((CDK / "examples").glob("*.json")), ids=lambda path: path.stem)
def test_each_example_is_right(path: Path, package: Path, tmp_path: Path) -> None:
    given = example(path, package)
    variant = "service" if path.stem == "service" else "function"
    template = Template.from_stack(stack(tmp_path, given, variant)).to_json()
    assert {"McpUrl", "RoleTrustPolicy"} <= template["Outputs"].keys()
    if variant == "function":
        assert given.get("front_door", "http_api") == path.stem
        configuration = template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]["ROLECALL_CONFIG"]
        assert json.loads(configuration) == given["configuration"]


def test_a_service_takes_no_functions_place(package: Path, tmp_path: Path) -> None:
    function = {"package_path": str(package), **CONFIGURATION}
    assert stack(tmp_path, function).stack_name == "rolecall"
    assert stack(tmp_path, SERVICE, "service").stack_name == "rolecall-service"


def refusal(tmp_path: Path, given: Any, variant: str | None = None) -> str:
    """What the app says of inputs."""
    with pytest.raises(ValueError) as error:
        stack(tmp_path, given, variant)
    return str(error.value)


def test_missing_and_unknown_inputs_are_named(tmp_path: Path) -> None:
    assert refusal(tmp_path, {"package": "a", "listener_path": "/a"}) == (
        "These inputs are missing: configuration, package_path.\nThere are no such inputs: listener_path, package."
    )
    assert refusal(tmp_path, SERVICE | {"package_path": "a"}, "service") == "There are no such inputs: package_path."


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    absent = str(tmp_path / "bootstrap.zip")
    assert refusal(tmp_path, CONFIGURATION | {"package_path": absent}) == (
        f"package_path: There is no package at {absent}: `make package` makes it."
    )
    assert refusal(tmp_path, CONFIGURATION | {"package_path": absent, "memory_size": 1, "name": ""}).count("\n") == 2
    assert refusal(tmp_path, SERVICE).splitlines()[1:] == [
        "There are no such inputs: alb_security_group_id, image.",
        "For ECS, add -c variant=service.",
    ]
    assert "variant" not in refusal(tmp_path, SERVICE | {"package_path": "a"}, "service")
    assert refusal(tmp_path, "[]").startswith("The inputs must be a JSON object of inputs by their names: ")
    assert refusal(tmp_path, "{").startswith("The inputs must be JSON: ")
    assert refusal(tmp_path, {}, "lambda") == "The context's variant must be function or service."
    with pytest.raises(ValueError, match="^Say which inputs to deploy: "):
        rolecall_stack(App())
    with pytest.raises(ValueError, match="^The inputs cannot be read: absent.json: No such file or directory$"):
        rolecall_stack(App(context={"inputs": "absent.json"}))


def test_it_runs_without_cdks_command(package: Path, tmp_path: Path) -> None:
    given = tmp_path / "inputs.json"
    given.write_text(json.dumps(example(CDK / "examples" / "http_api.json", package)), encoding="utf-8")
    result = run({"inputs": str(given)}, tmp_path / "out")
    assert (result.returncode, result.stdout) == (0, "")
    # CDK judges the template by AWS's own schemas.
    assert "WARNING" not in result.stderr
    template = json.loads((tmp_path / "out" / "rolecall.template.json").read_text(encoding="utf-8"))
    assert template["Resources"]["Function"]["Properties"]["FunctionName"] == "rolecall"


def test_its_failure_is_a_sentence(tmp_path: Path) -> None:
    result = run({}, tmp_path / "out")
    assert result.returncode == 1
    # The last line: before it, CDK may have something to say about Node.
    assert result.stderr.endswith("\nSay which inputs to deploy: -c inputs=FILE, such as examples/http_api.json.\n")
    assert "Traceback" not in result.stderr
    assert not list((tmp_path).glob("out/*.template.json"))


def run(context: dict[str, str], out: Path) -> subprocess.CompletedProcess[str]:
    """The app as a process of its own, as CDK's command runs it."""
    environment = os.environ | {"CDK_CONTEXT_JSON": json.dumps(context), "CDK_OUTDIR": str(out)}
    return subprocess.run(
        [sys.executable, "app.py"], cwd=CDK, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
