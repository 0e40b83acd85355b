"""What checkov says of the stack's plans: nothing but what is accepted here, each with its reason.

In come plans as JSON (`make deploy-local` leaves them); out goes exit 1 on a finding that nobody accepted, and on an
acceptance that nothing needs any more.

Usage: checkov_plans.py CHECKOV FOLDER
"""

import json
import re
import subprocess
import sys
from pathlib import Path

SECONDS = 300
OWN_LOGS = "who wants them encrypted with a key of their own, or kept for longer, says so: kms_key_arn, log_retention_in_days"
ACCOUNT_WIDE = "API Gateway writes a REST API's logs as a role that is set for the whole account and region"
ACCEPTED = {
    ("CKV_AWS_158", "aws_cloudwatch_log_group.function"): OWN_LOGS,
    ("CKV_AWS_158", "aws_cloudwatch_log_group.http_api"): OWN_LOGS,
    ("CKV_AWS_158", "aws_cloudwatch_log_group.this"): OWN_LOGS,
    ("CKV_AWS_338", "aws_cloudwatch_log_group.function"): OWN_LOGS,
    ("CKV_AWS_338", "aws_cloudwatch_log_group.http_api"): OWN_LOGS,
    ("CKV_AWS_338", "aws_cloudwatch_log_group.this"): OWN_LOGS,
    ("CKV_AWS_117", "aws_lambda_function.this"): "a VPC is an input: without one, there is nothing in it to reach",
    ("CKV_AWS_116", "aws_lambda_function.this"): "the function is called synchronously: a failure is the caller's answer",
    ("CKV_AWS_272", "aws_lambda_function.this"): "the package's hash is in the definition; signing is the operator's to add",
    ("CKV_AWS_309", "aws_apigatewayv2_route.this"): "Rolecall proves who calls; API Gateway does not know its issuers",
    ("CKV_AWS_290", "aws_iam_role_policy.function"): "X-Ray and network interfaces have no resources to name",
    ("CKV_AWS_76", "aws_api_gateway_stage.this"): ACCOUNT_WIDE,
    ("CKV2_AWS_4", "aws_api_gateway_stage.this"): ACCOUNT_WIDE,
    ("CKV_AWS_120", "aws_api_gateway_stage.this"): "an answer is for its caller alone, and never cached",
    ("CKV2_AWS_51", "aws_api_gateway_stage.this"): "a Lambda integration has no client certificate",
    ("CKV2_AWS_77", "aws_api_gateway_stage.this"): "the web ACL is the operator's own, and given by its ARN",
    ("CKV2_AWS_5", "aws_security_group.function"): "it is the function's; the plan does not show it yet",
    ("CKV_AWS_378", "aws_lb_target_group.this"): "TLS ends at the load balancer, and its security group alone reaches the tasks",
}


def findings(checkov: str, plan: Path) -> set[tuple[str, str]]:
    """The checks that failed, with the resource's address without an index."""
    command = [checkov, "-f", str(plan), "--framework", "terraform_plan", "--skip-download", "-o", "json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    report = json.loads(done.stdout)
    results = report["results"] if isinstance(report, dict) else report[0]["results"]
    if report["summary"]["passed"] < 20 or report["summary"]["parsing_errors"]:
        sys.exit(f"checkov did not read {plan.name}: {report['summary']}")
    return {
        (one["check_id"], re.sub(r"\[.*", "", one["resource"]))
        for one in results["failed_checks"]
        if not is_of_path(one["check_result"].get("evaluated_keys", []))
    }


def is_of_path(keys: list[str]) -> bool:
    """Whether a finding is of the plan's own path. checkov writes it into each map that it reads, and one of forty letters,
    digits and slashes looks to it like a secret key in the function's environment."""
    return bool(keys) and all(key.endswith("/__file__") for key in keys)


def main() -> None:
    checkov, folder = sys.argv[1], Path(sys.argv[2])
    plans = sorted(folder.glob("*.json"))
    if not plans:
        sys.exit(f"no plans in {folder}")
    found = {finding: plan.stem for plan in plans for finding in findings(checkov, plan)}
    new = [f"{check} {resource} ({plan})" for (check, resource), plan in sorted(found.items()) if (check, resource) not in ACCEPTED]
    stale = [f"{check} {resource}" for check, resource in sorted(ACCEPTED.keys() - found.keys())]
    if new or stale:
        sys.exit("\n".join([*(f"found: {one}" for one in new), *(f"accepted, but not found any more: {one}" for one in stale)]))
    print(f"checkov: {len(plans)} plans; {len(ACCEPTED)} findings accepted with a reason, no other")


if __name__ == "__main__":
    main()
