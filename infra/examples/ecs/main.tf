# A service on ECS, behind a load balancer that is there already.

locals {
  # The roles of callers. Each needs the trust policy of the output `role_trust_policy`.
  roles = ["arn:aws:iam::111122223333:role/QuiltReader"]
  # The secret that the Quilt catalog signs its tokens with.
  jwt_secret = "arn:aws:secretsmanager:us-east-1:111122223333:secret:quilt-jwt-AbCdEf"
}

module "rolecall" {
  source = "../../ecs"

  image                 = "111122223333.dkr.ecr.us-east-1.amazonaws.com/rolecall:0.1.0"
  ecr_repository_arn    = "arn:aws:ecr:us-east-1:111122223333:repository/rolecall"
  vpc_id                = "vpc-0123456789abcdef0"
  private_subnet_ids    = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  alb_listener_arn      = "arn:aws:elasticloadbalancing:us-east-1:111122223333:listener/app/shared/0123456789abcdef/0123456789abcdef"
  alb_security_group_id = "sg-0123456789abcdef0"
  listener_host         = "mcp.example.com"
  configuration = jsonencode({
    server = { publicUrl = { "$env" = "ROLECALL_PUBLIC_URL" } }
    auth = { issuers = [{
      issuer   = "quilt-frontend"
      audience = "quilt-mcp-server"
      hs256    = { "$secret" = local.jwt_secret }
    }] }
    roles = { allow = local.roles, externalId = { "$env" = "ROLECALL_EXTERNAL_ID" } }
  })
  secret_arns         = [local.jwt_secret]
  assumable_role_arns = local.roles
}

output "mcp_url" {
  value = module.rolecall.mcp_url
}

output "role_trust_policy" {
  value = module.rolecall.role_trust_policy
}
