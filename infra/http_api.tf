# Front door http_api: API Gateway's HTTP API. Answers are whole, within 30 seconds.

locals {
  http_api      = var.front_door == "http_api" ? 1 : 0
  http_api_urls = [for api in aws_apigatewayv2_api.this : "https://${api.id}.execute-api.${local.region}.${local.suffix}"]
}

resource "aws_apigatewayv2_api" "this" {
  count         = local.http_api
  name          = var.name
  protocol_type = "HTTP"
  tags          = local.tags
}

resource "aws_apigatewayv2_integration" "this" {
  count                  = local.http_api
  api_id                 = aws_apigatewayv2_api.this[0].id
  integration_type       = "AWS_PROXY"
  integration_uri        = "arn:${local.partition}:apigateway:${local.region}:lambda:path/2015-03-31/functions/${local.alias_arn}/invocations"
  payload_format_version = "2.0"
  timeout_milliseconds   = 30000
}

resource "aws_apigatewayv2_route" "this" {
  count     = local.http_api
  api_id    = aws_apigatewayv2_api.this[0].id
  route_key = "$default"
  target    = "integrations/${aws_apigatewayv2_integration.this[0].id}"
}

# What is refused before it reaches the function is in no other log.
# The prefix is one that the account's resource policy names once, for all such groups: AWS adds any other to it, until it is full.
resource "aws_cloudwatch_log_group" "http_api" {
  count             = local.http_api
  name              = "/aws/vendedlogs/apigateway/${var.name}"
  retention_in_days = var.log_retention_in_days
  kms_key_id        = var.kms_key_arn
  tags              = local.tags
}

resource "aws_apigatewayv2_stage" "this" {
  count       = local.http_api
  api_id      = aws_apigatewayv2_api.this[0].id
  name        = "$default"
  auto_deploy = true

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.http_api[0].arn
    format = jsonencode({
      requestId        = "$context.requestId"
      time             = "$context.requestTime"
      ip               = "$context.identity.sourceIp"
      method           = "$context.httpMethod"
      path             = "$context.path"
      status           = "$context.status"
      error            = "$context.error.message"
      integrationError = "$context.integrationErrorMessage"
      latency          = "$context.responseLatency"
    })
  }
  tags = local.tags
}

resource "aws_lambda_permission" "http_api" {
  count         = local.http_api
  statement_id  = "HttpApi"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this.function_name
  qualifier     = aws_lambda_alias.live.name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "arn:${local.partition}:execute-api:${local.region}:${local.account}:${aws_apigatewayv2_api.this[0].id}/*/*"
}
