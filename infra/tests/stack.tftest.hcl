# What each front door is made of, and every policy, word for word. AWS is mocked: what it computes is made up, what we say is not.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "999999999999" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws-cn", dns_suffix = "amazonaws.com.cn" }
  }
  mock_data "aws_region" {
    defaults = { id = "cn-north-1", name = "cn-north-1" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws-cn:iam::999999999999:role/rolecall-function" }
  }
  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws-cn:lambda:cn-north-1:999999999999:function:rolecall", version = "7" }
  }
  mock_resource "aws_lambda_alias" {
    defaults = { arn = "arn:aws-cn:lambda:cn-north-1:999999999999:function:rolecall:live" }
  }
  mock_resource "aws_apigatewayv2_api" {
    defaults = { id = "abcdefghij" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws-cn:logs:cn-north-1:999999999999:log-group:mocked" }
  }
  mock_resource "aws_api_gateway_rest_api" {
    defaults = { id = "abcdefghij" }
  }
  mock_resource "aws_api_gateway_stage" {
    defaults = { arn = "arn:aws-cn:apigateway:cn-north-1::/restapis/abcdefghij/stages/live" }
  }
  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws-cn:elasticloadbalancing:cn-north-1:999999999999:targetgroup/rolecall/0123456789abcdef" }
  }
  mock_resource "aws_lambda_function_url" {
    defaults = { function_url = "https://abcdefghij.lambda-url.cn-north-1.on.aws/", url_id = "abcdefghij" }
  }
}

variables {
  package_path  = "tests/bootstrap.zip"
  configuration = "{}"
}

run "the_default_is_an_http_api_and_may_write_logs_and_traces_only" {
  assert {
    condition = jsondecode(aws_iam_role_policy.function.policy) == {
      Version = "2012-10-17"
      Statement = [
        {
          Sid      = "Logs"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = "arn:aws-cn:logs:cn-north-1:999999999999:log-group:/aws/lambda/rolecall:*"
        },
        {
          Sid      = "Tracing"
          Effect   = "Allow"
          Action   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
          Resource = "*"
        },
      ]
    }
    error_message = "the policy of the function's role"
  }
  assert {
    condition = jsondecode(aws_iam_role.function.assume_role_policy) == {
      Version   = "2012-10-17"
      Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "lambda.amazonaws.com" } }]
    }
    error_message = "the trust policy of the function's role"
  }
  assert {
    condition = [for permission in concat(
      aws_lambda_permission.http_api, aws_lambda_permission.rest_api, aws_lambda_permission.alb,
      ) : [permission.action, permission.function_name, permission.qualifier, permission.principal, permission.source_arn]
      ] == [[
        "lambda:InvokeFunction", "rolecall", "live", "apigateway.amazonaws.com",
        "arn:aws-cn:execute-api:cn-north-1:999999999999:abcdefghij/*/*",
    ]]
    error_message = "the HTTP API alone may call the function, by its alias"
  }
  assert {
    condition = aws_lambda_function.this.environment[0].variables == tomap({
      ROLECALL_CONFIG      = "{}"
      ROLECALL_EXTERNAL_ID = "rolecall"
      ROLECALL_INVOKE_MODE = "BUFFERED"
      ROLECALL_PUBLIC_URL  = "https://abcdefghij.execute-api.cn-north-1.amazonaws.com.cn"
      SSL_CERT_FILE        = "/etc/pki/tls/certs/ca-bundle.crt"
    })
    error_message = "the environment"
  }
  # moto forgets this, so that a plan against it cannot tell.
  assert {
    condition = aws_lambda_function.this.logging_config[0] == {
      log_format            = "JSON"
      application_log_level = "TRACE"
      system_log_level      = "INFO"
      log_group             = "/aws/lambda/rolecall"
    }
    error_message = "the logging configuration"
  }
  assert {
    condition     = aws_lambda_alias.live.function_version == "7" && length(aws_lambda_provisioned_concurrency_config.live) == 0
    error_message = "the alias points to the newest version, and nothing is kept ready"
  }
  assert {
    condition = (
      length(aws_security_group.function) + length(aws_dynamodb_table.vault) + length(aws_api_gateway_rest_api.this)
      + length(aws_lb_listener_rule.this) + length(aws_lambda_function_url.this)
    ) == 0
    error_message = "nothing that nobody asked for"
  }
  assert {
    condition = jsondecode(output.role_trust_policy) == {
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Principal = { AWS = "arn:aws-cn:iam::999999999999:role/rolecall-function" }
        Action    = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
        Condition = { StringEquals = { "sts:ExternalId" = "rolecall" }, StringLike = { "sts:SourceIdentity" = "*" } }
      }]
    }
    error_message = "the trust policy that callers' roles need"
  }
  assert {
    condition     = output.mcp_url == "https://abcdefghij.execute-api.cn-north-1.amazonaws.com.cn/mcp" && output.api_id == "abcdefghij"
    error_message = "the outputs"
  }
}

run "everything_has_just_the_statements_it_needs" {
  variables {
    front_door              = "rest_api"
    timeout_seconds         = 900
    web_acl_arn             = "arn:aws-cn:wafv2:cn-north-1:999999999999:regional/webacl/rolecall/0123abcd"
    vpc_id                  = "vpc-0123"
    private_subnet_ids      = ["subnet-0123"]
    egress_cidr_blocks      = ["10.0.0.0/8", "192.0.2.0/24"]
    secret_arns             = ["arn:aws-cn:secretsmanager:cn-north-1:999999999999:secret:jwt-AbCdEf"]
    secret_kms_key_arns     = ["arn:aws-cn:kms:cn-north-1:999999999999:key/0123-secrets"]
    assumable_role_arns     = ["arn:aws-cn:iam::111122223333:role/QuiltReader"]
    external_id             = "given"
    environment             = { CATALOG = "catalog" }
    kms_key_arn             = "arn:aws-cn:kms:cn-north-1:999999999999:key/0123-own"
    enable_vault_table      = true
    provisioned_concurrency = 2
    reserved_concurrency    = 50
    function_version        = "3"
    alarm_topic_arns        = ["arn:aws-cn:sns:cn-north-1:999999999999:alarms"]
    tags                    = { team = "data" }
  }
  assert {
    condition = jsondecode(aws_iam_role_policy.function.policy).Statement == [
      {
        Sid      = "Logs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "arn:aws-cn:logs:cn-north-1:999999999999:log-group:/aws/lambda/rolecall:*"
      },
      {
        Sid      = "ReadSecrets"
        Effect   = "Allow"
        Action   = "secretsmanager:GetSecretValue"
        Resource = ["arn:aws-cn:secretsmanager:cn-north-1:999999999999:secret:jwt-AbCdEf"]
      },
      {
        Sid       = "DecryptSecrets"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = ["arn:aws-cn:kms:cn-north-1:999999999999:key/0123-secrets"]
        Condition = { StringLike = { "kms:ViaService" = "secretsmanager.*.amazonaws.com.cn" } }
      },
      {
        Sid      = "AssumeCallerRoles"
        Effect   = "Allow"
        Action   = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
        Resource = ["arn:aws-cn:iam::111122223333:role/QuiltReader"]
      },
      {
        Sid      = "Vault"
        Effect   = "Allow"
        Action   = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:Query"]
        Resource = "arn:aws-cn:dynamodb:cn-north-1:999999999999:table/rolecall-vault"
      },
      {
        Sid       = "VaultKey"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = "arn:aws-cn:kms:cn-north-1:999999999999:key/0123-own"
        Condition = { StringEquals = { "kms:ViaService" = "dynamodb.cn-north-1.amazonaws.com.cn" } }
      },
      {
        Sid      = "Tracing"
        Effect   = "Allow"
        Action   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
        Resource = "*"
      },
      {
        Sid    = "NetworkInterfaces"
        Effect = "Allow"
        Action = [
          "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
          "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
        ]
        Resource = "*"
      },
      {
        Sid    = "NetworkInterfacesByLambdaOnly"
        Effect = "Deny"
        Action = [
          "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
          "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
        ]
        Resource  = "*"
        Condition = { ArnEquals = { "lambda:SourceFunctionArn" = "arn:aws-cn:lambda:cn-north-1:999999999999:function:rolecall" } }
      },
    ]
    error_message = "the policy of the function's role"
  }
  assert {
    condition = [for permission in concat(
      aws_lambda_permission.http_api, aws_lambda_permission.rest_api, aws_lambda_permission.alb,
      ) : [permission.action, permission.function_name, permission.qualifier, permission.principal, permission.source_arn]
      ] == [[
        "lambda:InvokeFunction", "rolecall", "live", "apigateway.amazonaws.com",
        "arn:aws-cn:execute-api:cn-north-1:999999999999:abcdefghij/*/*/*",
    ]]
    error_message = "the REST API alone may call the function, by its alias"
  }
  assert {
    condition     = toset([for rule in aws_vpc_security_group_egress_rule.https : rule.cidr_ipv4]) == toset(["10.0.0.0/8", "192.0.2.0/24"])
    error_message = "egress to the given ranges only"
  }
  assert {
    condition     = aws_wafv2_web_acl_association.this[0].resource_arn == "arn:aws-cn:apigateway:cn-north-1::/restapis/abcdefghij/stages/live"
    error_message = "the web ACL stands before the stage"
  }
  # moto has no provisioned concurrency.
  assert {
    condition = (
      aws_lambda_provisioned_concurrency_config.live[0].provisioned_concurrent_executions == 2
      && aws_lambda_provisioned_concurrency_config.live[0].qualifier == "live"
      && aws_lambda_function.this.reserved_concurrent_executions == 50
      && aws_lambda_alias.live.function_version == "3"
    )
    error_message = "concurrency, and the version that was rolled back to"
  }
  assert {
    condition = (
      aws_lambda_function.this.environment[0].variables["ROLECALL_INVOKE_MODE"] == "RESPONSE_STREAM"
      && aws_lambda_function.this.environment[0].variables["ROLECALL_PUBLIC_URL"] == "https://abcdefghij.execute-api.cn-north-1.amazonaws.com.cn/live"
      && aws_lambda_function.this.environment[0].variables["ROLECALL_VAULT_TABLE"] == "rolecall-vault"
      && aws_lambda_function.this.environment[0].variables["ROLECALL_EXTERNAL_ID"] == "given"
      && aws_lambda_function.this.environment[0].variables["CATALOG"] == "catalog"
    )
    error_message = "the environment"
  }
  assert {
    condition = alltrue([for alarm in concat(values(aws_cloudwatch_metric_alarm.counted), [aws_cloudwatch_metric_alarm.duration]) :
      alarm.alarm_actions == toset(["arn:aws-cn:sns:cn-north-1:999999999999:alarms"]) && alarm.ok_actions == alarm.alarm_actions
    ]) && length(aws_cloudwatch_metric_alarm.counted) == 5
    error_message = "six alarms, each to the topic"
  }
  # A server that cannot judge tokens answers 503, which Lambda counts as a success.
  assert {
    condition     = aws_cloudwatch_metric_alarm.counted["auth-unavailable"].metric_name == "AuthUnavailable" && aws_cloudwatch_metric_alarm.counted["auth-unavailable"].threshold == 1
    error_message = "the alarm of a secret or keys that cannot be had"
  }
}

run "a_load_balancer_forwards_five_paths_by_two_rules" {
  variables {
    front_door         = "alb"
    alb_listener_arn   = "arn:aws-cn:elasticloadbalancing:cn-north-1:999999999999:listener/app/shared/0123/4567"
    listener_host      = "tools.example.com"
    listener_base_path = "/rolecall"
  }
  assert {
    condition = [for permission in concat(
      aws_lambda_permission.http_api, aws_lambda_permission.rest_api, aws_lambda_permission.alb,
      ) : [permission.action, permission.function_name, permission.qualifier, permission.principal, permission.source_arn]
      ] == [[
        "lambda:InvokeFunction", "rolecall", "live", "elasticloadbalancing.amazonaws.com",
        "arn:aws-cn:elasticloadbalancing:cn-north-1:999999999999:targetgroup/rolecall/*",
    ]]
    error_message = "the stack's own target group alone may call the function, by its alias"
  }
  assert {
    condition = { for key, rule in aws_lb_listener_rule.this : key => [
      rule.priority, flatten([for condition in rule.condition : [for path in condition.path_pattern : sort(path.values)]])
      ] } == {
      calls    = [100, ["/rolecall/healthz", "/rolecall/mcp", "/rolecall/mcp/*"]]
      metadata = [101, ["/.well-known/oauth-protected-resource/rolecall/*", "/rolecall/.well-known/*", "/rolecall/connect/*"]]
    }
    error_message = "the listener's rules"
  }
  # A rule takes five values at most, a condition three: Elastic Load Balancing user guide, "Condition types for listener rules".
  assert {
    condition = alltrue([for rule in aws_lb_listener_rule.this : alltrue([for condition in rule.condition :
      length(flatten([condition.path_pattern[*].values, condition.host_header[*].values])) <= 3
    ])])
    error_message = "what a listener's rule takes"
  }
  assert {
    condition     = output.mcp_url == "https://tools.example.com/rolecall/mcp" && output.api_id == null
    error_message = "the outputs"
  }
}

run "a_function_url_takes_signed_calls_only" {
  variables {
    front_door = "function_url"
  }
  assert {
    condition     = aws_lambda_function_url.this[0].authorization_type == "AWS_IAM" && aws_lambda_function_url.this[0].qualifier == "live"
    error_message = "the function URL"
  }
  assert {
    condition     = length(concat(aws_lambda_permission.http_api, aws_lambda_permission.rest_api, aws_lambda_permission.alb)) == 0
    error_message = "nobody may call the function but by policies of their own"
  }
  assert {
    condition     = !contains(keys(aws_lambda_function.this.environment[0].variables), "ROLECALL_PUBLIC_URL") && output.public_url == "https://abcdefghij.lambda-url.cn-north-1.on.aws"
    error_message = "the URL is an output only"
  }
}

run "the_vpc_may_be_made_in_the_same_run" {
  command = plan
  module {
    source = "./tests/new_vpc"
  }
}

# AWS puts all groups with this prefix into the account's resource policy as one.
run "the_access_log_is_a_vended_one" {
  assert {
    condition     = aws_cloudwatch_log_group.http_api[0].name == "/aws/vendedlogs/apigateway/rolecall"
    error_message = "the access log's group"
  }
}

# Of 2700 characters, 1800 are quotation marks.
run "an_environment_that_lambda_would_refuse" {
  command = plan
  variables {
    configuration = jsonencode({ a = [for number in range(900) : ""] })
  }
  expect_failures = [var.environment]
}

run "a_secret_by_a_part_of_its_arn" {
  command = plan
  variables {
    secret_arns = ["arn:aws-cn:secretsmanager:cn-north-1:999999999999:secret:jwt"]
  }
  expect_failures = [var.secret_arns]
}

run "a_public_url_with_the_path_that_clients_add" {
  command = plan
  variables {
    public_url = "https://mcp.example.com/mcp"
  }
  expect_failures = [var.public_url]
}

run "a_secret_in_the_configuration" {
  command = plan
  variables {
    configuration = jsonencode({ auth = { issuers = [{ introspection = { clientSecret = { "$env" = "CLIENT" } } }] } })
  }
  expect_failures = [var.configuration]
}

run "a_secret_that_the_configuration_names" {
  command = plan
  variables {
    configuration = jsonencode({ auth = { issuers = [{ hs256 = {
      "$secret" = "arn:aws-cn:secretsmanager:cn-north-1:999999999999:secret:jwt-AbCdEf", key = "k"
    } }] } })
  }
}

run "a_package_that_is_not_there" {
  command = plan
  variables {
    package_path = "tests/absent.zip"
  }
  expect_failures = [var.package_path]
}

run "a_package_that_is_no_zip" {
  command = plan
  variables {
    package_path = "tests/stack.tftest.hcl"
  }
  expect_failures = [var.package_path]
}
