# Front door alb: a rule of a load balancer that is there already. Answers are whole, and at most 1 MB.

locals {
  alb = var.front_door == "alb" ? 1 : 0
  # A value that is given, or none: a load balancer alone does not tell by which name it is called.
  alb_urls = var.front_door == "alb" && var.listener_host != null ? ["https://${var.listener_host}${var.listener_base_path}"] : []

  # Two rules, because a condition takes three values at most and a rule five: Elastic Load Balancing user guide, "Condition
  # types for listener rules". Below a base path, clients that guess ask for the metadata beside it (RFC 9728, section 3.1).
  base = var.listener_base_path
  listener_rules = {
    calls    = { position = 0, paths = ["${local.base}/mcp", "${local.base}/mcp/*", "${local.base}/healthz"] }
    metadata = { position = 1, paths = concat(["${local.base}/.well-known/*", "${local.base}/connect/*"], local.base == "" ? [] : ["/.well-known/oauth-protected-resource${local.base}/*"]) }
  }
}

resource "aws_lambda_permission" "alb" {
  count         = local.alb
  statement_id  = "Alb"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this.function_name
  qualifier     = aws_lambda_alias.live.name
  principal     = "elasticloadbalancing.amazonaws.com"
  # By name: the group takes the function as its target only when the permission is there.
  source_arn = "arn:${local.partition}:elasticloadbalancing:${local.region}:${local.account}:targetgroup/${var.name}/*"
}

resource "aws_lb_target_group" "this" {
  count                              = local.alb
  name                               = var.name
  target_type                        = "lambda"
  lambda_multi_value_headers_enabled = true
  # Each check would be a call of the function. The times are Elastic Load Balancing's own: the provider sends an interval of 30,
  # which is not longer than the timeout.
  health_check {
    enabled  = false
    interval = 35
    timeout  = 30
  }
  tags = local.tags
}

resource "aws_lb_target_group_attachment" "this" {
  count            = local.alb
  target_group_arn = aws_lb_target_group.this[0].arn
  target_id        = aws_lambda_alias.live.arn
  depends_on       = [aws_lambda_permission.alb]
}

resource "aws_lb_listener_rule" "this" {
  for_each     = local.alb == 1 ? local.listener_rules : {}
  listener_arn = var.alb_listener_arn
  priority     = var.listener_priority + each.value.position

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this[0].arn
  }
  condition {
    path_pattern {
      values = each.value.paths
    }
  }
  dynamic "condition" {
    for_each = var.listener_host == null ? [] : [var.listener_host]
    content {
      host_header {
        values = [condition.value]
      }
    }
  }
  tags = local.tags
  # Elastic Load Balancing deletes no group that a rule forwards to: with another group come other rules.
  lifecycle {
    replace_triggered_by = [aws_lb_target_group.this[0].arn]
  }
}
