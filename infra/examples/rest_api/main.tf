# A REST API: streamed answers, a WAF before it, users who sign in (OAuth) at a domain of their own.

locals {
  # The roles of callers. Each needs the trust policy of the output `role_trust_policy`.
  roles = ["arn:aws:iam::111122223333:role/QuiltReader"]
}

module "rolecall" {
  source = "../.."

  package_path    = "${path.module}/../../../target/lambda/arm64/bootstrap.zip"
  front_door      = "rest_api"
  public_url      = "https://mcp.example.com"
  timeout_seconds = 300
  web_acl_arn     = "arn:aws:wafv2:us-east-1:111122223333:regional/webacl/rolecall/0123abcd-0123-abcd-0123-0123456789ab"
  configuration = jsonencode({
    server = { toolTimeoutSeconds = 290, publicUrl = { "$env" = "ROLECALL_PUBLIC_URL" } }
    auth   = { issuers = [{ issuer = "https://idp.example.com", jwks = "discover" }] }
    roles  = { allow = local.roles, externalId = { "$env" = "ROLECALL_EXTERNAL_ID" } }
  })
  assumable_role_arns = local.roles
}

output "mcp_url" {
  value = module.rolecall.mcp_url
}

output "role_trust_policy" {
  value = module.rolecall.role_trust_policy
}
