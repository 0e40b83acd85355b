"""Terraform, run on a copy of a module, with the provider that this machine has.

In come a module's folder and its inputs; a copy is made, so that neither state nor plugins land in the project. Every
command has a time limit.
"""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

COMMAND_SECONDS = 180
LOOK_SECONDS = 0.5
# What would make Terraform do something else here than elsewhere. Its own configuration stays: it may name a mirror.
OTHERS = ("AWS_", "TF_VAR_", "TF_CLI_ARGS", "TF_DATA_DIR", "TF_WORKSPACE")
MIRRORS = ["/opt", "/usr/share", "/usr/local/share", "~/.terraform.d/plugins"]
PROVIDER = "registry.terraform.io/hashicorp/aws"
# Set, it ends every command, whichever thread waits for it: whoever ends a program waits for its threads.
is_over = threading.Event()


def plugin_arguments() -> list[str]:
    """What `terraform init` needs here: a mirror of the provider, if there is one; else it downloads."""
    named = os.environ.get("TF_PLUGIN_DIR")
    roots = [Path(root).expanduser() for root in MIRRORS]
    found = [
        candidate for root in roots for candidate in (root, *sorted(root.glob("*"))) if (candidate / PROVIDER).is_dir()
    ]
    mirror = named or next(map(str, found), None)
    return [f"-plugin-dir={mirror}"] if mirror else []


def run(
    folder: Path, environment: dict[str, str], *arguments: str, codes: tuple[int, ...] = (0,)
) -> subprocess.CompletedProcess:
    """Runs a command of Terraform; fails with what it said."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS)}
    quiet = {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
    done = finished(["terraform", *arguments], folder, kept | quiet | environment)
    if done.returncode not in codes:
        raise RuntimeError(f"terraform {arguments[0]} in {folder.name}:\n{(done.stdout + done.stderr)[-4000:]}")
    return done


def finished(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess:
    """Runs a command to its end."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as started:
        try:
            output, errors = waited_for(started)
        except BaseException:
            # With its providers, which outlive it if it alone is killed.
            os.killpg(started.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, started.returncode, output, errors)


def waited_for(started: subprocess.Popen) -> tuple[str, str]:
    """What a process writes until it ends, if its time is not up before."""
    deadline = time.monotonic() + COMMAND_SECONDS
    while True:
        try:
            return started.communicate(timeout=LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if is_over.is_set() or time.monotonic() > deadline:
                raise


def prepare(module: Path, folder: Path, environment: dict[str, str], inputs: dict) -> None:
    """Copies a module to a folder of its own, with its inputs, ready to plan."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for source in module.glob("*.tf"):
        shutil.copy(source, folder)
    give(folder, inputs)
    run(folder, environment, "init", "-no-color", *plugin_arguments())


def give(folder: Path, inputs: dict) -> None:
    """Writes a module's inputs."""
    (folder / "terraform.tfvars.json").write_text(json.dumps(inputs, indent=2))


def plan(folder: Path, environment: dict[str, str]) -> dict:
    """Plans; gives the plan's JSON."""
    run(folder, environment, "plan", "-no-color", "-detailed-exitcode", "-out=plan", codes=(0, 2))
    return json.loads(run(folder, environment, "show", "-json", "plan").stdout)


def apply(folder: Path, environment: dict[str, str]) -> dict:
    """Applies the last plan; gives the outputs."""
    run(folder, environment, "apply", "-no-color", "plan")
    outputs = json.loads(run(folder, environment, "output", "-json").stdout)
    return {name: output["value"] for name, output in outputs.items()}


def destroy(folder: Path, environment: dict[str, str]) -> None:
    run(folder, environment, "destroy", "-auto-approve", "-no-color")
    left = run(folder, environment, "state", "list").stdout.strip()
    if left:
        raise RuntimeError(f"left in the state of {folder.name}: {left}")
