"""Checks the Terraform of a stack without an AWS: its format, its validity with each example, and its own tests.

In comes nothing; out go the tests' names, and exit 1 on the first fault.
"""

import re
import shutil
import sys
from pathlib import Path

import terraform

ROOT = Path(__file__).resolve().parents[2]

# What AWS deletes only when nothing uses it any more, or what uses such a thing, and what makes Terraform mind that. A
# plan does not show the order.
REPLACEMENTS = {
    "aws_security_group": "create_before_destroy",
    "aws_lb_listener_rule": "replace_triggered_by",
}


def main() -> None:
    folder = ROOT / "target/deploy/check"
    copy = folder / "infra"
    shutil.rmtree(folder, ignore_errors=True)
    # The package that the examples name.
    package = folder / "target/lambda/arm64/bootstrap.zip"
    package.parent.mkdir(parents=True)
    shutil.copy(ROOT / "infra/tests/bootstrap.zip", package)
    shutil.copytree(ROOT / "infra", copy, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    unformatted = terraform.run(copy, {}, "fmt", "-check", "-recursive", "-no-color", codes=(0, 3))
    if unformatted.returncode:
        sys.exit(f"run `terraform fmt -recursive infra`: {unformatted.stdout}")
    if wrong := [*unminded(ROOT / "infra"), *unminded(ROOT / "infra/ecs")]:
        sys.exit("\n".join(wrong))
    modules = [copy, copy / "ecs", *sorted((copy / "examples").iterdir())]
    for module in modules:
        terraform.run(module, {}, "init", "-no-color", "-backend=false", *terraform.plugin_arguments())
        terraform.run(module, {}, "validate", "-no-color")
        print(f"valid: infra/{module.relative_to(copy)}".removesuffix("/."))
        if (module / "tests").is_dir():
            print(terraform.run(module, {}, "test", "-no-color").stdout)


def unminded(module: Path) -> list[str]:
    """A sentence for each resource of a module that would be replaced in an order that AWS refuses."""
    wrong = []
    for file in sorted(module.glob("*.tf")):
        for kind, name, body in re.findall(r'(?ms)^resource "(\w+)" "(\w+)" \{\n(.*?)^\}$', file.read_text("utf-8")):
            if kind in REPLACEMENTS and f"    {REPLACEMENTS[kind]} = " not in body:
                wrong.append(f"{file.relative_to(ROOT)}: {kind}.{name} needs {REPLACEMENTS[kind]}")
    return wrong


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(str(error))
