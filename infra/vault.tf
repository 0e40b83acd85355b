# The table for users' own secrets. They are sealed before they come here.

locals {
  vault_table_name = "${var.name}-vault"
}

resource "aws_dynamodb_table" "vault" {
  count                       = var.enable_vault_table ? 1 : 0
  name                        = local.vault_table_name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = var.enable_deletion_protection

  attribute {
    name = "pk"
    type = "S"
  }
  attribute {
    name = "sk"
    type = "S"
  }
  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }
  point_in_time_recovery {
    enabled = true
  }
  # Without a key of one's own, AWS's key for DynamoDB.
  server_side_encryption {
    enabled     = true
    kms_key_arn = var.kms_key_arn
  }
  tags = local.tags
}
