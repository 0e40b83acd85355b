"""Owns what Terraform would make: a module's plans, with every value known.

In come modules' folders and inputs; out come, for each call, the resources and outputs in CloudFormation's words.
`terraform test` plans with a provider that asks nobody, and what would be known only after an apply is given a
token beforehand, so that a value made of it is compared and not lost. Only what the module's text sets is looked at:
the rest is the provider's own. What stays unknown, and what `kinds` does not have, is an error.
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Iterator

import hcl2

import terraform

from . import kinds

SECONDS = 120
# The oldest that the modules take: what it knows, newer ones know.
PROVIDER_VERSION = "5.100.0"
SECTIONS = {"terraform", "variable", "output", "locals", "data", "resource", "__comments__"}
META = {"count", "for_each", "depends_on", "lifecycle", "provider", "dynamic", "__is_block__", "__comments__"}


class PlanError(kinds.ParityError):
    """What Terraform refuses, or what this module does not know."""


@dataclass
class Planned:
    """One resource of a plan, in CloudFormation's words: its address without an index, its token, type and
    properties."""

    address: str
    token: str
    type: str
    properties: dict[str, Any]


@dataclass
class Plan:
    """What a module would make in one configuration."""

    resources: list[Planned]
    outputs: dict[str, Any]


@dataclass
class Module:
    """A module's text, parsed. Names are as they are written; expressions are texts."""

    folder: Path
    variables: dict[str, dict[str, Any]]
    outputs: dict[str, dict[str, Any]]
    data: dict[str, dict[str, Any]]
    resources: dict[str, dict[str, Any]]
    locals: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "Module":
        module = cls(folder, {}, {}, {}, {}, {})
        for file in sorted(folder.glob("*.tf")):
            parsed = parse(file.read_text())
            if surplus := set(parsed) - SECTIONS:
                raise PlanError(f"{file.name}: unknown blocks {sorted(surplus)}")
            for block in parsed.get("variable", []):
                module.variables |= block
            for block in parsed.get("output", []):
                module.outputs |= block
            for block in parsed.get("locals", []):
                module.locals |= {name: value for name, value in block.items() if name not in META}
            for section, place in (("data", module.data), ("resource", module.resources)):
                for block in parsed.get(section, []):
                    ((type_, named),) = block.items()
                    place |= {f"{type_}.{name}": body for name, body in named.items()}
        module.check_data()
        return module

    def check_data(self) -> None:
        """An error where the module asks for data that `kinds` does not have."""
        for address in self.data:
            if address.split(".")[0] not in kinds.DATA:
                raise PlanError(f"teach kinds.py the data {address}")

    @property
    def lifecycles(self) -> dict[str, dict[str, Any]]:
        """The lifecycle blocks, by the resources' addresses."""
        bodies = self.resources | {f"data.{address}": body for address, body in self.data.items()}
        return {
            address: {key: value for block in body["lifecycle"] for key, value in block.items() if key not in META}
            for address, body in bodies.items()
            if "lifecycle" in body
        }

    def token(self, address: str) -> str:
        return kinds.token(list(self.resources).index(address))

    def referred(self, value: Any) -> set[str]:
        """The resources that an expression refers to, by itself or through locals: as Terraform sees it, without asking
        whether a condition makes use of them."""
        seen: set[str] = set()
        found: set[str] = set()

        def look(part: Any) -> None:
            text = json.dumps(part)
            found.update(set(re.findall(r"\baws_\w+\.\w+", text)) & set(self.resources))
            for name in set(re.findall(r"\blocal\.(\w+)", text)) - seen:
                seen.add(name)
                look(self.locals[name])

        look(value)
        return found


@cache
def parse(text: str) -> dict[str, Any]:
    """A file's blocks. Nobody changes them."""
    return unquoted(hcl2.loads(text))


def unquoted(value: Any) -> Any:
    """What the parser gives, with texts without their quotes, and expressions without their braces."""
    if isinstance(value, list):
        return [unquoted(item) for item in value]
    if isinstance(value, dict):
        return {unquoted(key): unquoted(item) for key, item in value.items()}
    if isinstance(value, str) and re.fullmatch(r'".*"', value, re.DOTALL):
        return json.loads(value)
    if isinstance(value, str) and re.fullmatch(r"\$\{.*\}", value, re.DOTALL):
        return value[2:-1]
    return value


def run(folder: Path, *arguments: str) -> str:
    """What a `terraform` command prints. A failure is no error here: what was printed tells of it."""
    environment = {**os.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "CHECKPOINT_DISABLE": "1"}
    done = subprocess.run(
        ["terraform", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS
    )
    if not done.stdout:
        raise PlanError(f"terraform {' '.join(arguments)}: {done.stderr}")
    return done.stdout


@dataclass
class Call:
    """A module in one configuration: its folder and its inputs."""

    module: Path
    inputs: dict[str, Any]


def plans(folder: Path, calls: dict[str, Call], modules: dict[Path, Module]) -> dict[str, Plan | PlanError]:
    """The plans of modules, by the names of the calls, or the errors in their place. `folder` is new: one
    configuration that calls each of them, so that one process plans all and the provider says once what it knows."""
    folder.mkdir()
    copies = {module: f"module{number}" for number, module in enumerate(modules)}
    for module, copy in copies.items():
        (folder / copy).mkdir()
        for file in module.glob("*.tf"):
            shutil.copy(file, folder / copy)
    numbered = {f"call{number}": name for number, name in enumerate(calls)}
    (folder / "main.tf").write_text("\n".join(main_file(calls, numbered, copies)))
    (folder / "plans.tftest.hcl").write_text("\n".join(test_file(calls, numbered, modules)))
    said = run(folder, "init", "-no-color", *terraform.plugin_arguments())
    if "successfully initialized" not in said:
        raise PlanError(said)
    planned = test_plan(folder)
    found = {}
    for call, name in numbered.items():
        changes = [change for change in planned["resource_changes"] if change.get("module_address") == f"module.{call}"]
        outputs = planned["output_changes"][call]
        try:
            found[name] = plan(modules[calls[name].module], changes, outputs)
        except PlanError as error:
            found[name] = error
    return found


def main_file(calls: dict[str, Call], numbered: dict[str, str], copies: dict[Path, str]) -> Iterator[str]:
    """A configuration that calls each module and passes its outputs on."""
    aws = hcl({"source": "hashicorp/aws", "version": PROVIDER_VERSION})
    yield f"terraform {{\n  required_providers {{\n    aws = {aws}\n  }}\n}}"
    for call, name in numbered.items():
        yield f'module "{call}" {{\n  source = "./{copies[calls[name].module]}"'
        yield from (f"  {key} = {hcl(value)}" for key, value in calls[name].inputs.items())
        yield f'}}\noutput "{call}" {{\n  value = module.{call}\n}}'


def test_file(calls: dict[str, Call], numbered: dict[str, str], modules: dict[Path, Module]) -> Iterator[str]:
    """A test that plans it with a provider that asks nobody."""
    yield 'mock_provider "aws" {'
    for type_, values in kinds.DATA.items():
        yield f'  mock_data "{type_}" {{\n    defaults = {hcl(values)}\n  }}'
    for call, name in numbered.items():
        module = modules[calls[name].module]
        for address in module.resources:
            if values := made_up(module, address):
                yield f"  override_resource {{\n    target = module.{call}.{address}\n    override_during = plan"
                yield f"    values = {hcl(values)}\n  }}"
    yield '}\nrun "all" {\n  command = plan\n}'


def test_plan(folder: Path) -> dict[str, Any]:
    """The plan of which the test tells."""
    errors: list[str] = []
    for line in run(folder, "test", "-no-color", "-json", "-verbose").splitlines():
        message = json.loads(line)
        if message["type"] == "test_plan":
            return message["test_plan"]
        if message["type"] == "diagnostic" and message["diagnostic"]["severity"] == "error":
            place = message["diagnostic"].get("address", message["diagnostic"].get("range", ""))
            errors.append(f"{place}: {message['diagnostic']['summary']} {message['diagnostic']['detail']}")
    raise PlanError("\n".join(errors) or "no plan")


def made_up(module: Module, address: str) -> dict[str, str]:
    """What AWS would answer for the attributes of a resource that the table has, by tokens. What it does not have is
    found in the plan."""
    known = kinds.TERRAFORM.get(address.split(".")[0])
    if not known or not known.attributes:
        return {}
    answers = kinds.KINDS[known.cloudformation].attributes
    return {
        name: kinds.with_tokens(answers.get(template, template), module.token(address))
        for name, template in known.attributes.items()
    }


def hcl(value: Any) -> str:
    """A value as Terraform reads it: JSON, but for what Terraform would take as a template."""
    return json.dumps(value).replace("${", "$${").replace("%{", "%%{")


def plan(module: Module, all_changes: list[dict[str, Any]], output_change: dict[str, Any]) -> Plan:
    """A plan's resources and outputs in CloudFormation's words."""
    changes = [change for change in all_changes if change["mode"] == "managed"]
    # Where some of a resource's answers are given beforehand, Terraform makes up the others: nothing may be made of
    # them.
    random = {
        value: f"{change['type']}.{name}"
        for change in changes
        for name, value in change["change"]["after"].items()
        if name not in module.resources[f"{change['type']}.{change['name']}"]
        and isinstance(value, str) and re.fullmatch(r"[a-z0-9]{8}", value)
    }  # fmt: skip
    resources = []
    for change in changes:
        if change["type"] not in kinds.TERRAFORM:
            raise PlanError(f"{change['address']}: teach kinds.py the type {change['type']}")
        address = f"{change['type']}.{change['name']}"
        after, unknown = change["change"]["after"], change["change"]["after_unknown"]
        attributes = configured(module, module.resources[address], after, unknown, change["address"])
        refuse_random(attributes, random, change["address"])
        known = kinds.TERRAFORM[change["type"]]
        try:
            properties = kinds.nested(kinds.properties(attributes, known.rules))
        except (KeyError, ValueError, TypeError) as error:
            raise PlanError(f"{change['address']}: {error!r}") from error
        resources.append(Planned(address, module.token(address), known.cloudformation, properties))
    if any_true(output_change["after_unknown"]):
        unknown = output_change["after_unknown"]
        raise PlanError(f"outputs are not known before an apply: {unknown}: teach kinds.py what they refer to")
    outputs = {name: value for name, value in output_change["after"].items() if value is not None}
    refuse_random(outputs, random, "an output")
    return Plan(resources, outputs)


def refuse_random(value: Any, random: dict[str, str], place: str) -> None:
    """An error where a value holds what Terraform made up."""
    for text, source in random.items():
        if text in json.dumps(value):
            raise PlanError(f"{place} refers to {source}: teach kinds.py")


def configured(
    module: Module, body: dict[str, Any], value: dict[str, Any], unknown: dict[str, Any], place: str
) -> dict[str, Any]:
    """Of a resource's or block's values those that the module's text sets."""
    blocks: dict[str, dict[str, Any]] = {}
    for name, inside in body.items():
        if isinstance(inside, list) and inside and isinstance(inside[0], dict) and inside[0].get("__is_block__"):
            for one in inside:
                blocks.setdefault(name, {}).update(one)
    for dynamic in body.get("dynamic", []):
        for name, generator in dynamic.items():
            if name not in META:
                for one in generator["content"]:
                    blocks.setdefault(name, {}).update(one)
    out = {}
    for name in (set(body) | set(blocks)) - META - {"content"}:
        if name in blocks:
            items = value.get(name) or []
            unknowns = unknown.get(name) or [{}] * len(items)
            out[name] = [
                configured(module, blocks[name], item, inner, f"{place}.{name}")
                for item, inner in zip(items, unknowns, strict=True)
            ]
        elif not any_true(unknown.get(name)):
            out[name] = value.get(name)
        # An attribute that is set to nothing, and for which the provider then chooses, is unknown too.
        elif module.referred(body[name]):
            raise PlanError(f"{place}.{name} is not known before an apply: teach kinds.py what it refers to")
    return out


def any_true(unknown: Any) -> bool:
    """Whether anything in a structure of truth values is true."""
    if isinstance(unknown, dict):
        return any(map(any_true, unknown.values()))
    if isinstance(unknown, list):
        return any(map(any_true, unknown))
    return bool(unknown)
