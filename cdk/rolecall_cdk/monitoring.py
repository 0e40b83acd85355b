"""The function's alarms and its dashboard.

In come inputs and the function's name, as a reference; out go resources, which so come after the function: CloudWatch
lets another stack's be overwritten, and Lambda refuses the name of another stack's function. The names in the namespace
Rolecall are those that the binary writes (src/telemetry/metrics.rs).
"""

from __future__ import annotations

import json

from aws_cdk import Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from rolecall_cdk.inputs import RolecallInputs

# Construct, end of the name, namespace, metric, threshold, description.
COUNTED = (
    ("ErrorsAlarm", "errors", "AWS/Lambda", "Errors", 1, "The function failed."),
    ("ThrottlesAlarm", "throttles", "AWS/Lambda", "Throttles", 1, "The function was throttled."),
    (
        "AuthFailuresAlarm",
        "auth-failures",
        "Rolecall",
        "AuthFailures",
        100,
        "Many requests were refused for their token or role.",
    ),
    (
        "AuthUnavailableAlarm",
        "auth-unavailable",
        "Rolecall",
        "AuthUnavailable",
        1,
        "A secret, or an issuer's keys or verdict, could not be had.",
    ),
    (
        "RoleAssumptionFailuresAlarm",
        "role-assumption-failures",
        "Rolecall",
        "RoleAssumptionFailure",
        5,
        "STS refused or did not answer.",
    ),
)

# Title, and for each line: namespace, metric, statistic.
WIDGETS = (
    (
        "Requests",
        (("AWS/Lambda", "Invocations", "Sum"), ("AWS/Lambda", "Errors", "Sum"), ("AWS/Lambda", "Throttles", "Sum")),
    ),
    ("Duration", (("AWS/Lambda", "Duration", "p50"), ("AWS/Lambda", "Duration", "p99"))),
    ("Instances", (("AWS/Lambda", "ConcurrentExecutions", "Maximum"),)),
    ("Tools", (("Rolecall", "ToolCalls", "Sum"), ("Rolecall", "ToolErrors", "Sum"))),
    (
        "Refusals",
        (
            ("Rolecall", "AuthFailures", "Sum"),
            ("Rolecall", "AuthUnavailable", "Sum"),
            ("Rolecall", "RoleAssumptionFailure", "Sum"),
        ),
    ),
    ("Role assumption", (("Rolecall", "RoleAssumptionLatency", "p50"), ("Rolecall", "RoleAssumptionLatency", "p99"))),
)


def alarms(scope: Construct, inputs: RolecallInputs, function_name: str) -> None:
    """An alarm for each way in which requests fail, and one for those that take too long."""
    alarm = cloudwatch.CfnAlarm
    of_function = [alarm.DimensionProperty(name="FunctionName", value=function_name)]
    common = {
        "comparison_operator": "GreaterThanOrEqualToThreshold",
        "treat_missing_data": "notBreaching",
        "alarm_actions": list(inputs.alarm_topic_arns) or None,
        "ok_actions": list(inputs.alarm_topic_arns) or None,
    }
    for construct_id, name, namespace, metric, threshold, description in COUNTED:
        alarm(
            scope,
            construct_id,
            alarm_name=f"{inputs.name}-{name}",
            alarm_description=description,
            namespace=namespace,
            metric_name=metric,
            dimensions=of_function,
            statistic="Sum",
            period=300,
            evaluation_periods=1,
            threshold=threshold,
            **common,
        )
    duration = alarm.MetricProperty(namespace="AWS/Lambda", metric_name="Duration", dimensions=of_function)
    alarm(
        scope,
        "DurationAlarm",
        alarm_name=f"{inputs.name}-duration",
        alarm_description="Requests come near the timeout.",
        metrics=[
            alarm.MetricDataQueryProperty(
                id="e1",
                expression=f"100 * m1 / {inputs.timeout_seconds}000",
                label="Percent of the timeout",
                return_data=True,
            ),
            alarm.MetricDataQueryProperty(
                id="m1",
                metric_stat=alarm.MetricStatProperty(metric=duration, period=300, stat="p99"),
                return_data=False,
            ),
        ],
        evaluation_periods=3,
        threshold=80,
        **common,
    )


def dashboard(scope: Construct, inputs: RolecallInputs, function_name: str) -> cloudwatch.CfnDashboard:
    """One page that says how the server is."""
    region = Stack.of(scope).region
    widgets = [
        {
            "type": "metric",
            "x": 8 * (index % 3),
            "y": 6 * (index // 3),
            "width": 8,
            "height": 6,
            "properties": {
                "title": title,
                "region": region,
                "period": 300,
                "metrics": [
                    [namespace, metric, "FunctionName", function_name, {"stat": stat}]
                    for namespace, metric, stat in lines
                ],
            },
        }
        for index, (title, lines) in enumerate(WIDGETS)
    ]
    return cloudwatch.CfnDashboard(
        scope, "Dashboard", dashboard_name=inputs.name, dashboard_body=json.dumps({"widgets": widgets})
    )
