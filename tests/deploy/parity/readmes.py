"""Owns the tables of inputs and outputs in the definitions' READMEs, between markers.

In come the definitions; out go the READMEs as they must be. `make deploy-docs` writes them, and `make parity` fails
where one is stale.
"""

import json
import re
from pathlib import Path
from typing import Any, Iterator

from . import cloudformation, definitions, inputs
from .plans import Module


def stale(root: Path) -> Iterator[str]:
    """A sentence for each README that is not as it must be."""
    for path, text in written(root).items():
        if path.read_text() != text:
            yield f"{path.relative_to(root)} is stale: `make deploy-docs` writes its tables"


def write(root: Path) -> None:
    """Writes the tables into the READMEs."""
    for path, text in written(root).items():
        path.write_text(text)


def written(root: Path) -> dict[Path, str]:
    """The READMEs as they must be."""
    modules = {variant: Module.read(root / folder) for variant, folder in definitions.MODULES.items()}
    templates = {variant: cloudformation.load(root / file) for variant, file in definitions.TEMPLATES.items()}
    tables: dict[str, dict[str, str]] = {
        "infra/README.md": {"inputs": of_variables(modules["function"]), "outputs": of_outputs(modules["function"])},
        "infra/ecs/README.md": {"inputs": of_variables(modules["service"]), "outputs": of_outputs(modules["service"])},
        "cdk/README.md": {
            f"{variant} {what}": table(modules[variant])
            for variant in modules
            for what, table in (("inputs", of_variables), ("outputs", of_outputs))
        },
        "cloudformation/README.md": {
            f"{variant} {what}": table(templates[variant])
            for variant in templates
            for what, table in (("inputs", of_parameters), ("outputs", of_template_outputs))
        },
    }
    return {root / path: filled(root / path, of_file) for path, of_file in tables.items()}


def filled(path: Path, tables: dict[str, str]) -> str:
    """A README with its tables."""
    text = path.read_text()
    marked = re.findall(r"<!-- ([a-z ]+) begin -->", text)
    if sorted(marked) != sorted(tables):
        raise ValueError(f"{path}: it has the tables {sorted(marked)}, and must have {sorted(tables)}")
    for name, table in tables.items():
        before, rest = text.split(f"<!-- {name} begin -->\n")
        _, after = rest.split(f"<!-- {name} end -->")
        text = f"{before}<!-- {name} begin -->\n\n{table}\n<!-- {name} end -->{after}"
    return text


def rows(heads: tuple[str, ...], lines: Iterator[tuple[str, ...]]) -> str:
    """A table."""
    out = ["| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _ in heads) + " |"]
    for line in lines:
        out.append("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |")
    return "\n".join(out) + "\n"


def of_variables(module: Module) -> str:
    """The inputs of Terraform, which are CDK's too."""
    return rows(
        ("input", "type", "default", "meaning"),
        (
            (
                f"`{name}`",
                body["type"],
                f"`{json.dumps(body['default'])}`" if "default" in body else "required",
                body["description"],
            )
            for name, body in module.variables.items()
        ),
    )


def of_outputs(module: Module) -> str:
    """The outputs of Terraform, which are CDK's too."""
    return rows(("output", "meaning"), ((f"`{name}`", body["description"]) for name, body in module.outputs.items()))


def of_parameters(template: dict[str, Any]) -> str:
    """A template's parameters."""
    return rows(
        ("parameter", "type", "default", "meaning"),
        (
            (
                f"`{name}`",
                one.type,
                "required" if one.default is None else f"`{one.default}`" if one.default else "empty",
                one.description,
            )
            for name, one in inputs.of_cloudformation(template).items()
        ),
    )


def of_template_outputs(template: dict[str, Any]) -> str:
    """A template's outputs."""
    return rows(
        ("output", "meaning"), ((f"`{name}`", output["Description"]) for name, output in template["Outputs"].items())
    )
