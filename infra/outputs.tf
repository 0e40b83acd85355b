locals {
  function_urls = [for url in aws_lambda_function_url.this : trimsuffix(url.function_url, "/")]
  # What clients call, of whichever front door.
  called_url = coalesce(local.public_url, one(local.function_urls))
}

output "mcp_url" {
  description = "URL that MCP clients connect to."
  value       = "${local.called_url}/mcp"
}

output "public_url" {
  description = "URL of the server, without a path of its own: what server.publicUrl must be."
  value       = local.called_url
}

output "function_name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "function_arn" {
  description = "ARN of the function."
  value       = aws_lambda_function.this.arn
}

output "alias_arn" {
  description = "ARN of the alias `live`, which the front door calls."
  value       = aws_lambda_alias.live.arn
}

output "execution_role_arn" {
  description = "Role that the server runs as, which the roles of callers must trust."
  value       = aws_iam_role.function.arn
}

output "role_trust_policy" {
  description = "Trust policy that each role of a caller needs, as JSON."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = aws_iam_role.function.arn }
      Action    = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
      Condition = {
        StringEquals = { "sts:ExternalId" = local.external_id }
        StringLike   = { "sts:SourceIdentity" = "*" }
      }
    }]
  })
}

output "log_group_name" {
  description = "Log group of the server."
  value       = aws_cloudwatch_log_group.function.name
}

output "vault_table_name" {
  description = "Name of the vault's table, if there is one."
  value       = one(aws_dynamodb_table.vault[*].name)
}

output "security_group_id" {
  description = "Security group of the function, if it is in a VPC."
  value       = one(aws_security_group.function[*].id)
}

output "api_id" {
  description = "Id of the API or function URL: for roles.iam.frontDoors, and for a custom domain."
  value = one(concat(
    aws_apigatewayv2_api.this[*].id, aws_api_gateway_rest_api.this[*].id, aws_lambda_function_url.this[*].url_id,
  ))
}

output "dashboard_name" {
  description = "Name of the CloudWatch dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}
