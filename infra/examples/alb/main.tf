# A rule of a load balancer that is there already, and the function in a VPC.

locals {
  # The roles of callers. Each needs the trust policy of the output `role_trust_policy`.
  roles = ["arn:aws:iam::111122223333:role/QuiltReader"]
  # The secret that the Quilt catalog signs its tokens with.
  jwt_secret = "arn:aws:secretsmanager:us-east-1:111122223333:secret:quilt-jwt-AbCdEf"
}

module "rolecall" {
  source = "../.."

  package_path       = "${path.module}/../../../target/lambda/arm64/bootstrap.zip"
  front_door         = "alb"
  alb_listener_arn   = "arn:aws:elasticloadbalancing:us-east-1:111122223333:listener/app/shared/0123456789abcdef/0123456789abcdef"
  listener_host      = "tools.example.com"
  listener_base_path = "/rolecall"
  vpc_id             = "vpc-0123456789abcdef0"
  private_subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
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
