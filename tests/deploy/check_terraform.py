"""Checks the Terraform of a stack without an AWS: its format, its validity with each example, and its own tests.

In comes nothing; out go the tests' names, and exit 1 on the first fault.
"""

import shutil
import sys
from pathlib import Path

import terraform

ROOT = Path(__file__).resolve().parents[2]


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
    modules = [copy, copy / "ecs", *sorted((copy / "examples").iterdir())]
    for module in modules:
        terraform.run(module, {}, "init", "-no-color", "-backend=false", *terraform.plugin_arguments())
        terraform.run(module, {}, "validate", "-no-color")
        print(f"valid: infra/{module.relative_to(copy)}".removesuffix("/."))
        if (module / "tests").is_dir():
            print(terraform.run(module, {}, "test", "-no-color").stdout)


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(str(error))
