output "mcp_url" {
  description = "URL that MCP clients connect to."
  value       = "${local.public_url}/mcp"
}

output "public_url" {
  description = "URL of the server, without a path of its own: what server.publicUrl must be."
  value       = local.public_url
}

output "cluster_name" {
  description = "Name of the cluster."
  value       = aws_ecs_cluster.this.name
}

output "service_name" {
  description = "Name of the service."
  value       = aws_ecs_service.this.name
}

output "task_role_arn" {
  description = "Role that the server runs as, which the roles of callers must trust."
  value       = aws_iam_role.task.arn
}

output "execution_role_arn" {
  description = "Role with which ECS pulls the image and writes logs."
  value       = aws_iam_role.execution.arn
}

output "role_trust_policy" {
  description = "Trust policy that each role of a caller needs, as JSON."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = aws_iam_role.task.arn }
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
  value       = aws_cloudwatch_log_group.this.name
}

output "security_group_id" {
  description = "Security group of the tasks."
  value       = aws_security_group.this.id
}

output "target_group_arn" {
  description = "Target group of the tasks."
  value       = aws_lb_target_group.this.arn
}
