# Front door rest_api: API Gateway's REST API. Answers are streamed, for up to 15 minutes, and a WAF can stand before it.

locals {
  rest_api      = var.front_door == "rest_api" ? 1 : 0
  rest_api_urls = [for api in aws_api_gateway_rest_api.this : "https://${api.id}.execute-api.${local.region}.${local.suffix}/live"]

  openapi = {
    openapi = "3.0.1"
    info    = { title = var.name, version = "1" }
    paths = {
      "/{proxy+}" = {
        x-amazon-apigateway-any-method = {
          parameters = [{ name = "proxy", in = "path", required = true, schema = { type = "string" } }]
          x-amazon-apigateway-integration = {
            type                 = "aws_proxy"
            httpMethod           = "POST"
            uri                  = "arn:${local.partition}:apigateway:${local.region}:lambda:path/2021-11-15/functions/${local.alias_arn}/response-streaming-invocations"
            responseTransferMode = "STREAM"
            timeoutInMillis      = 900000
            passthroughBehavior  = "when_no_match"
          }
        }
      }
    }
    # What API Gateway answers by itself. It renames the function's own WWW-Authenticate, and only here can it be set.
    x-amazon-apigateway-gateway-responses = {
      MISSING_AUTHENTICATION_TOKEN = {
        statusCode        = 404
        responseTemplates = { "application/json" = "{\"error\":\"not_found\"}" }
      }
      UNAUTHORIZED = {
        statusCode         = 401
        responseParameters = { "gatewayresponse.header.WWW-Authenticate" = "'Bearer'" }
        responseTemplates  = { "application/json" = "{\"error\":\"unauthorized\"}" }
      }
    }
  }
}

resource "aws_api_gateway_rest_api" "this" {
  count = local.rest_api
  name  = var.name
  body  = jsonencode(local.openapi)
  # The body is the whole API: what a later one lacks, the API lacks too.
  put_rest_api_mode = "overwrite"
  endpoint_configuration {
    types = ["REGIONAL"]
  }
  tags = local.tags
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_api_gateway_deployment" "this" {
  count       = local.rest_api
  rest_api_id = aws_api_gateway_rest_api.this[0].id
  triggers    = { body = sha256(jsonencode(local.openapi)) }
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_api_gateway_stage" "this" {
  count                = local.rest_api
  rest_api_id          = aws_api_gateway_rest_api.this[0].id
  deployment_id        = aws_api_gateway_deployment.this[0].id
  stage_name           = "live"
  xray_tracing_enabled = var.enable_xray
  tags                 = local.tags
}

resource "aws_wafv2_web_acl_association" "this" {
  count        = var.web_acl_arn == null ? 0 : local.rest_api
  web_acl_arn  = var.web_acl_arn
  resource_arn = aws_api_gateway_stage.this[0].arn
}

resource "aws_lambda_permission" "rest_api" {
  count         = local.rest_api
  statement_id  = "RestApi"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this.function_name
  qualifier     = aws_lambda_alias.live.name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "arn:${local.partition}:execute-api:${local.region}:${local.account}:${aws_api_gateway_rest_api.this[0].id}/*/*/*"
}
