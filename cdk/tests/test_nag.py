"""cdk-nag's AwsSolutions rules: each finding is acknowledged where it is, with a reason, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack, Validations
from cdk_nag import AwsSolutionsChecks
from conftest import ALB, CONFIGURATION, KEY, REPOSITORY, ROLE, SECRET, SECRET_KEY, SERVICE, VPC, WEB_ACL

from rolecall_cdk import Rolecall, RolecallInputs, RolecallService, RolecallServiceInputs

CALLERS = {
    "secret_arns": [SECRET],
    "secret_kms_key_arns": [SECRET_KEY],
    "assumable_role_arns": [ROLE],
    "kms_key_arn": KEY,
}
FUNCTIONS: list[dict[str, Any]] = [
    {},
    {"enable_xray": False},
    {"front_door": "rest_api"},
    {"front_door": "function_url"},
    {**ALB, **VPC, "enable_xray": False},
    {**CALLERS, **VPC, "front_door": "rest_api", "web_acl_arn": WEB_ACL, "enable_vault_table": True},
]
SERVICES: list[dict[str, Any]] = [{}, {**CALLERS, "ecr_repository_arn": REPOSITORY}, {"enable_execute_command": True}]


def deployments(package: Path) -> list[App]:
    """An app for each set of inputs."""
    apps = []
    for given in FUNCTIONS:
        apps.append(App())
        inputs = RolecallInputs(package_path=str(package), **{**CONFIGURATION, **given})
        Rolecall(Stack(apps[-1], "Test"), "Rolecall", inputs)
    for given in SERVICES:
        apps.append(App())
        RolecallService(Stack(apps[-1], "Test"), "Rolecall", RolecallServiceInputs(**{**SERVICE, **given}))
    return apps


def findings(app: App) -> set[tuple[str, str]]:
    """What cdk-nag finds: the place and the rule. A rule that fails to run is a finding too."""
    report = AwsSolutionsChecks(app).validate_scope(app)
    return {
        (resource.construct_path, violation.rule_name)
        for violation in report.violations
        for resource in violation.violating_resources
    }


def acknowledged(app: App) -> set[tuple[str, str]]:
    """What is acknowledged: the place and the rule. Each has a reason."""
    found = set()
    for construct in app.node.find_all():
        for entry in construct.node.metadata:
            if entry.type == Validations.ACKNOWLEDGED_RULES_METADATA_KEY:
                for rule, reason in entry.data.items():
                    assert reason.endswith(".")
                    found.add((construct.node.path, rule.removeprefix("Annotation::")))
    return found


def test_nothing_is_found_that_is_not_acknowledged(package: Path) -> None:
    for app in deployments(package):
        assert findings(app) == set()


def test_nothing_is_acknowledged_that_is_not_found(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = [acknowledged(app) for app in deployments(package)]
    assert all(reasons)
    # Without a single acknowledgement, cdk-nag tells them all.
    monkeypatch.setattr(Validations, "acknowledge", lambda self, *rules: None)
    assert [findings(app) for app in deployments(package)] == reasons
