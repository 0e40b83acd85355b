# One page that says how the server is.

locals {
  # Title, and for each line: namespace, metric, statistic.
  widgets = [
    ["Requests", [["AWS/Lambda", "Invocations", "Sum"], ["AWS/Lambda", "Errors", "Sum"], ["AWS/Lambda", "Throttles", "Sum"]]],
    ["Duration", [["AWS/Lambda", "Duration", "p50"], ["AWS/Lambda", "Duration", "p99"]]],
    ["Instances", [["AWS/Lambda", "ConcurrentExecutions", "Maximum"]]],
    ["Tools", [["Rolecall", "ToolCalls", "Sum"], ["Rolecall", "ToolErrors", "Sum"]]],
    ["Refusals", [["Rolecall", "AuthFailures", "Sum"], ["Rolecall", "AuthUnavailable", "Sum"], ["Rolecall", "RoleAssumptionFailure", "Sum"]]],
    ["Role assumption", [["Rolecall", "RoleAssumptionLatency", "p50"], ["Rolecall", "RoleAssumptionLatency", "p99"]]],
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [for index, widget in local.widgets : {
      type   = "metric"
      x      = 8 * (index % 3)
      y      = 6 * floor(index / 3)
      width  = 8
      height = 6
      properties = {
        title   = widget[0]
        region  = local.region
        period  = 300
        metrics = [for line in widget[1] : [line[0], line[1], "FunctionName", aws_lambda_function.this.function_name, { stat = line[2] }]]
      }
    }]
  })
}
