# The function: its role, its log group, its versions and the alias that front doors call.

data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition
  region    = data.aws_region.this.id
  suffix    = data.aws_partition.this.dns_suffix

  tags = merge({ "rolecall:stack" = var.name }, var.tags)
  # By the number of subnets: a VPC that is made in the same run has no id yet, and how many there are must be known.
  in_vpc = length(var.private_subnet_ids) > 0

  # By name, where a reference would make a circle: front doors name the function, and its environment names the front door.
  function_arn = "arn:${local.partition}:lambda:${local.region}:${local.account}:function:${var.name}"
  alias_arn    = "${local.function_arn}:live"

  streams     = contains(["rest_api", "function_url"], var.front_door)
  external_id = coalesce(var.external_id, var.name)
  # A function URL is known only when the function is: it is an output, and nothing in the environment.
  public_url = var.public_url != null ? var.public_url : one(concat(
    local.http_api_urls, local.rest_api_urls, local.alb_urls,
  ))
}

resource "aws_cloudwatch_log_group" "function" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_in_days
  kms_key_id        = var.kms_key_arn
  tags              = local.tags
}

resource "aws_iam_role" "function" {
  name = "${var.name}-function"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
  tags = local.tags
}

locals {
  network_interface_actions = [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
  ]

  # Each with the condition under which it is there.
  statements = [for entry in [
    [true, {
      Sid      = "Logs"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/aws/lambda/${var.name}:*"
    }],
    [length(var.secret_arns) > 0, {
      Sid      = "ReadSecrets"
      Effect   = "Allow"
      Action   = "secretsmanager:GetSecretValue"
      Resource = var.secret_arns
    }],
    [length(var.secret_kms_key_arns) > 0, {
      Sid       = "DecryptSecrets"
      Effect    = "Allow"
      Action    = "kms:Decrypt"
      Resource  = var.secret_kms_key_arns
      Condition = { StringLike = { "kms:ViaService" = "secretsmanager.*.${local.suffix}" } }
    }],
    [length(var.assumable_role_arns) > 0, {
      Sid      = "AssumeCallerRoles"
      Effect   = "Allow"
      Action   = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
      Resource = var.assumable_role_arns
    }],
    [var.enable_vault_table, {
      Sid      = "Vault"
      Effect   = "Allow"
      Action   = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:Query"]
      Resource = "arn:${local.partition}:dynamodb:${local.region}:${local.account}:table/${local.vault_table_name}"
    }],
    [var.enable_vault_table && var.kms_key_arn != null, {
      Sid       = "VaultKey"
      Effect    = "Allow"
      Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource  = var.kms_key_arn
      Condition = { StringEquals = { "kms:ViaService" = "dynamodb.${local.region}.${local.suffix}" } }
    }],
    # X-Ray has no resources to name.
    [var.enable_xray, {
      Sid      = "Tracing"
      Effect   = "Allow"
      Action   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
      Resource = "*"
    }],
    # Lambda makes the function's network interfaces as the function's role. The code itself may not.
    [local.in_vpc, {
      Sid      = "NetworkInterfaces"
      Effect   = "Allow"
      Action   = local.network_interface_actions
      Resource = "*"
    }],
    [local.in_vpc, {
      Sid       = "NetworkInterfacesByLambdaOnly"
      Effect    = "Deny"
      Action    = local.network_interface_actions
      Resource  = "*"
      Condition = { ArnEquals = { "lambda:SourceFunctionArn" = local.function_arn } }
    }],
  ] : entry[1] if entry[0]]
}

resource "aws_iam_role_policy" "function" {
  name   = "function"
  role   = aws_iam_role.function.name
  policy = jsonencode({ Version = "2012-10-17", Statement = local.statements })
}

resource "aws_lambda_function" "this" {
  function_name                  = var.name
  description                    = "Rolecall: an MCP endpoint where every call runs as its caller"
  role                           = aws_iam_role.function.arn
  runtime                        = "provided.al2023"
  handler                        = "bootstrap"
  architectures                  = [var.architecture]
  filename                       = var.package_path
  source_code_hash               = filebase64sha256(var.package_path)
  memory_size                    = var.memory_size
  timeout                        = var.timeout_seconds
  reserved_concurrent_executions = var.reserved_concurrency
  publish                        = true

  environment {
    variables = merge(
      {
        ROLECALL_CONFIG      = var.configuration
        ROLECALL_EXTERNAL_ID = local.external_id
        ROLECALL_INVOKE_MODE = local.streams ? "RESPONSE_STREAM" : "BUFFERED"
        # The image's bundle, by one path: a search for it costs time at each start.
        SSL_CERT_FILE = "/etc/pki/tls/certs/ca-bundle.crt"
      },
      local.public_url == null ? {} : { ROLECALL_PUBLIC_URL = local.public_url },
      var.enable_vault_table ? { ROLECALL_VAULT_TABLE = local.vault_table_name } : {},
      var.environment,
    )
  }

  # Rolecall's lines are JSON already, and telemetry.level decides which there are: Lambda filters none of them.
  logging_config {
    log_format            = "JSON"
    application_log_level = "TRACE"
    system_log_level      = "INFO"
    log_group             = aws_cloudwatch_log_group.function.name
  }

  tracing_config {
    mode = var.enable_xray ? "Active" : "PassThrough"
  }

  dynamic "vpc_config" {
    for_each = aws_security_group.function
    content {
      subnet_ids         = var.private_subnet_ids
      security_group_ids = [vpc_config.value.id]
    }
  }

  tags = local.tags
  # Its first call may come at once: what it may do and reach is there before it.
  depends_on = [aws_iam_role_policy.function, aws_vpc_security_group_egress_rule.https]
}

resource "aws_lambda_alias" "live" {
  name             = "live"
  function_name    = aws_lambda_function.this.function_name
  function_version = coalesce(var.function_version, aws_lambda_function.this.version)
}

resource "aws_lambda_provisioned_concurrency_config" "live" {
  count                             = var.provisioned_concurrency > 0 ? 1 : 0
  function_name                     = aws_lambda_function.this.function_name
  qualifier                         = aws_lambda_alias.live.name
  provisioned_concurrent_executions = var.provisioned_concurrency
}
