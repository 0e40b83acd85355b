# A Function URL for callers that sign with AWS credentials. Its id is known after the first apply: apply with what is here,
# put the output `api_id` into api_id, and apply again.

# Write the id down, here or in terraform.tfvars: with one that is given to a single apply by -var, the next plain apply goes
# back to "unknown", and every call is refused.
variable "api_id" {
  description = "The output `api_id` of the first apply."
  type        = string
  default     = "unknown"
}

locals {
  # The roles of callers. Each needs the trust policy of the output `role_trust_policy`.
  roles = ["arn:aws:iam::111122223333:role/QuiltReader"]
}

module "rolecall" {
  source = "../.."

  package_path = "${path.module}/../../../target/lambda/arm64/bootstrap.zip"
  front_door   = "function_url"
  configuration = jsonencode({
    server = { allowedHosts = ["${var.api_id}.lambda-url.us-east-1.on.aws"] }
    roles = {
      header     = "iam"
      allow      = local.roles
      externalId = { "$env" = "ROLECALL_EXTERNAL_ID" }
      iam = {
        frontDoors = [{ kind = "function-url", apiId = var.api_id, domainName = "${var.api_id}.lambda-url.us-east-1.on.aws" }]
        callers    = [{ caller = "arn:aws:sts::111122223333:assumed-role/Ci/*", roles = local.roles }]
      }
    }
  })
  assumable_role_arns = local.roles
}

output "api_id" {
  value = module.rolecall.api_id
}

output "mcp_url" {
  value = module.rolecall.mcp_url
}

output "role_trust_policy" {
  value = module.rolecall.role_trust_policy
}
