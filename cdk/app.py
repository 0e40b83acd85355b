"""The app: one stack with one deployment of Rolecall.

In come the context's `inputs`, a JSON file of inputs by their names, and its `variant`: `function` (the default) for
Lambda, or `service` for ECS. Out goes a template: `cdk deploy -c inputs=examples/http_api.json` deploys it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from aws_cdk import App, DefaultStackSynthesizer, Stack

from rolecall_cdk import Rolecall, RolecallInputs, RolecallService, RolecallServiceInputs

VARIANTS = {"function": (Rolecall, RolecallInputs), "service": (RolecallService, RolecallServiceInputs)}


def rolecall_stack(app: App) -> Stack:
    """The stack that the context asks for. What is wrong with it is a `ValueError`, a sentence a line."""
    variant = app.node.try_get_context("variant") or "function"
    if variant not in VARIANTS:
        raise ValueError("The context's variant must be function or service.")
    construct, kind = VARIANTS[variant]
    inputs = read_inputs(app.node.try_get_context("inputs"), kind)
    stack = Stack(
        app,
        # Each variant is a stack of its own: one by the other's name would take its place.
        inputs.name if variant == "function" else f"{inputs.name}-{variant}",
        description="Rolecall: an MCP endpoint where every call runs as its caller",
        synthesizer=DefaultStackSynthesizer(),
        analytics_reporting=False,
    )
    # CDK leaves the id `Default` out of logical ids: they are as short as they are here.
    construct(stack, "Default", inputs)
    return stack


def read_inputs(path: str | None, kind: type) -> Any:
    """The inputs of a file. The configuration may be written as the object that it is."""
    if not path:
        raise ValueError("Say which inputs to deploy: -c inputs=FILE, such as examples/http_api.json.")
    try:
        given = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"The inputs cannot be read: {path}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"The inputs must be JSON: {path}: {error}") from error
    if not isinstance(given, dict):
        raise ValueError(f"The inputs must be a JSON object of inputs by their names: {path}")
    known = {input.name: input for input in fields(kind)}
    required = {name for name, input in known.items() if input.default is input.default_factory is MISSING}
    wrong = []
    if missing := required - given.keys():
        wrong.append(f"These inputs are missing: {', '.join(sorted(missing))}.")
    if unknown := given.keys() - known:
        wrong.append(f"There are no such inputs: {', '.join(sorted(unknown))}.")
    if "image" in unknown:
        wrong.append("For ECS, add -c variant=service.")
    if wrong:
        raise ValueError("\n".join(wrong))
    if isinstance(given["configuration"], dict):
        given["configuration"] = json.dumps(given["configuration"], separators=(",", ":"), ensure_ascii=False)
    return kind(**given)


def main() -> None:
    """Synthesise, or say what is wrong."""
    app = App()
    try:
        rolecall_stack(app)
    except ValueError as error:
        sys.exit(str(error))
    app.synth()


if __name__ == "__main__":
    main()
