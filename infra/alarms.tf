# Alarms. The names in the namespace Rolecall are those that the binary writes (src/telemetry/metrics.rs).
#
# They, and the dashboard, refer to the function and so come after it: CloudWatch lets another stack's be overwritten, and
# Lambda refuses the name of another stack's function.

locals {
  counted = {
    errors                   = { namespace = "AWS/Lambda", metric = "Errors", threshold = 1, description = "The function failed." }
    throttles                = { namespace = "AWS/Lambda", metric = "Throttles", threshold = 1, description = "The function was throttled." }
    auth-failures            = { namespace = "Rolecall", metric = "AuthFailures", threshold = 100, description = "Many requests were refused for their token or role." }
    auth-unavailable         = { namespace = "Rolecall", metric = "AuthUnavailable", threshold = 1, description = "A secret, or an issuer's keys or verdict, could not be had." }
    role-assumption-failures = { namespace = "Rolecall", metric = "RoleAssumptionFailure", threshold = 5, description = "STS refused or did not answer." }
  }
}

resource "aws_cloudwatch_metric_alarm" "counted" {
  for_each            = local.counted
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = { FunctionName = aws_lambda_function.this.function_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "duration" {
  alarm_name          = "${var.name}-duration"
  alarm_description   = "Requests come near the timeout."
  evaluation_periods  = 3
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 80
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns

  metric_query {
    id          = "e1"
    expression  = "100 * m1 / ${var.timeout_seconds}000"
    label       = "Percent of the timeout"
    return_data = true
  }
  metric_query {
    id          = "m1"
    return_data = false
    metric {
      namespace   = "AWS/Lambda"
      metric_name = "Duration"
      dimensions  = { FunctionName = aws_lambda_function.this.function_name }
      period      = 300
      stat        = "p99"
    }
  }
  tags = local.tags
}
