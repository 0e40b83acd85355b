"""Owns where the three definitions are, and what makes graphs of them.

In come the folders and configurations; out go graphs, by configuration. A definition may be a copy elsewhere, with a
fault planted in it.
"""

import importlib.util
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Iterator

from . import cloudformation, graph, plans
from .configurations import CONFIGURATIONS, Configuration
from .graph import Graph
from .kinds import TAGGABLE, ParityError
from .plans import Call

MODULES = {"function": "infra", "service": "infra/ecs"}
TEMPLATES = {"function": "cloudformation/rolecall.yaml", "service": "cloudformation/rolecall-ecs.yaml"}
CDK = "cdk"


def terraform_calls(root: Path, package: Path) -> dict[str, Call]:
    """A call of Terraform's modules for each configuration."""
    return {
        name: Call(root / MODULES[configuration.variant], with_package(configuration, package))
        for name, configuration in CONFIGURATIONS.items()
    }


def of_terraform(calls: dict[str, Call], folder: Path) -> dict[str, Graph | Exception]:
    """The graphs of Terraform's calls, or the errors in their place. All at once: it is the start that costs."""
    read = {module: plans.Module.read(module) for module in {call.module for call in calls.values()}}
    graphs: dict[str, Graph | Exception] = {}
    for name, plan in plans.plans(folder, calls, read).items():
        try:
            graphs[name] = plan if isinstance(plan, Exception) else graph.from_plan(read[calls[name].module], plan)
        except ParityError as error:
            graphs[name] = error
    return graphs


def with_package(configuration: Configuration, package: Path) -> dict[str, Any]:
    """The inputs, with the package that Terraform and CDK read."""
    return configuration.inputs | ({"package_path": str(package)} if configuration.variant == "function" else {})


def of_cloudformation(template: dict[str, Any], configuration: Configuration) -> Graph:
    """The graph of a template, as CloudFormation makes it: with the stack's tags on all that can have tags."""
    stack = cloudformation.evaluate(template, configuration.parameters(), configuration.inputs.get("name", "rolecall"))
    for resource in stack.resources.values():
        if resource.type in TAGGABLE and configuration.stack_tags():
            tags = resource.properties.get("Tags", [])
            own = tags if isinstance(tags, dict) else graph.by_name(tags, "Key", "Value")
            resource.properties["Tags"] = configuration.stack_tags() | own
    return graph.from_stack(stack)


def wrong_priorities(template: dict[str, Any], configuration: Configuration) -> Iterator[str]:
    """Where the second listener rule does not have the next priority: CloudFormation cannot add, and the template's
    way of doing it goes by digits. The configuration has these rules."""
    for priority in [*range(1, 21), 89, 99, 100, 129, 999, 1000, 1999, 9999, 10000, 19999, 29998, 48999, 49999]:
        other = replace(configuration, inputs=configuration.inputs | {"listener_priority": priority})
        made = of_cloudformation(template, other)
        rules = {key.split("/")[-1] for key in made.resources if "::ListenerRule/" in key}
        if rules != {str(priority), str(priority + 1)}:
            yield f"CloudFormation, listener priority {priority}: the rules have {sorted(rules)}"


def of_cdk(app: ModuleType, configuration: Configuration, package: Path) -> Graph:
    """The graph of what the app synthesises."""
    return graph.from_stack(cloudformation.evaluate(synthesised(app, configuration, package)))


def synthesised(app: ModuleType, configuration: Configuration, package: Path) -> dict[str, Any]:
    """The template that the app synthesises, without what CDK adds for itself."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs.json"
        inputs.write_text(json.dumps(with_package(configuration, package)))
        context = {"variant": configuration.variant, "inputs": str(inputs)}
        made = app.App(context=context, outdir=str(Path(folder) / "out"), analytics_reporting=False)
        stack = app.rolecall_stack(made)
        # CDK looks at the template itself, too, and takes seconds for it: that is for the tests of the app.
        template = made.synth(skip_validation=True).get_stack_by_name(stack.stack_name).template
    # Whether the account is ready for CDK.
    assert list(template.pop("Rules", {})) == ["CheckBootstrapVersion"], "CDK adds this rule and no other"
    assert list(template.pop("Parameters", {})) == ["BootstrapVersion"], "CDK adds this parameter and no other"
    return template


def cdk_app(folder: Path) -> ModuleType:
    """The app in a folder, and its constructs: those of another folder are forgotten."""
    for name in [name for name in sys.modules if name.split(".")[0] == "rolecall_cdk"]:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        spec = importlib.util.spec_from_file_location("rolecall_cdk_app", folder / "app.py")
        app = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(app)
    finally:
        sys.path.remove(str(folder))
    return app
