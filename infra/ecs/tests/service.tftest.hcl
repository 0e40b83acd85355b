# The service, and every policy, word for word. AWS is mocked: what it computes is made up, what we say is not.

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
    defaults = { arn = "arn:aws-cn:iam::999999999999:role/mocked" }
  }
  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws-cn:elasticloadbalancing:cn-north-1:999999999999:targetgroup/rolecall/0123456789abcdef" }
  }
}

variables {
  image                 = "999999999999.dkr.ecr.cn-north-1.amazonaws.com.cn/rolecall:0.1.0"
  configuration         = "{}"
  vpc_id                = "vpc-0123"
  private_subnet_ids    = ["subnet-0123"]
  alb_listener_arn      = "arn:aws-cn:elasticloadbalancing:cn-north-1:999999999999:listener/app/shared/0123/4567"
  alb_security_group_id = "sg-0123"
  listener_host         = "mcp.example.com"
}

run "the_default_task_may_do_nothing" {
  assert {
    condition     = length(aws_iam_role_policy.task) == 0
    error_message = "the task's role has no policy"
  }
  assert {
    condition = jsondecode(aws_iam_role_policy.execution.policy) == {
      Version = "2012-10-17"
      Statement = [{
        Sid      = "Logs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "arn:aws-cn:logs:cn-north-1:999999999999:log-group:/ecs/rolecall:*"
      }]
    }
    error_message = "the policy of the execution role"
  }
  assert {
    condition = alltrue([for role in [aws_iam_role.task, aws_iam_role.execution] : jsondecode(role.assume_role_policy) == {
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Action    = "sts:AssumeRole"
        Principal = { Service = "ecs-tasks.amazonaws.com" }
        Condition = { StringEquals = { "aws:SourceAccount" = "999999999999" } }
      }]
    }])
    error_message = "the trust policies"
  }
  assert {
    condition = (
      aws_ecs_service.this.enable_execute_command == false
      && aws_ecs_service.this.deployment_circuit_breaker[0] == { enable = true, rollback = true }
      && aws_ecs_service.this.network_configuration[0].assign_public_ip == false
    )
    error_message = "no commands in tasks, a circuit breaker, no public address"
  }
  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.load_balancer.referenced_security_group_id == "sg-0123"
      && aws_vpc_security_group_ingress_rule.load_balancer.from_port == 8080
      && aws_vpc_security_group_ingress_rule.load_balancer.to_port == 8080
      && aws_lb_target_group.this.health_check[0].path == "/healthz"
      && aws_lb_target_group.this.health_check[0].matcher == "200,503"
    )
    error_message = "the load balancer alone comes in, and asks for /healthz"
  }
  assert {
    condition = jsondecode(aws_ecs_task_definition.this.container_definitions) == [{
      name                   = "rolecall"
      image                  = "999999999999.dkr.ecr.cn-north-1.amazonaws.com.cn/rolecall:0.1.0"
      essential              = true
      command                = ["serve", "--listen", "0.0.0.0:8080"]
      user                   = "65532:65532"
      readonlyRootFilesystem = true
      linuxParameters        = { capabilities = { drop = ["ALL"] } }
      portMappings           = [{ containerPort = 8080, protocol = "tcp" }]
      stopTimeout            = 30
      environment = [
        { name = "ROLECALL_CONFIG", value = "{}" },
        { name = "ROLECALL_EXTERNAL_ID", value = "rolecall" },
        { name = "ROLECALL_PUBLIC_URL", value = "https://mcp.example.com" },
        { name = "SSL_CERT_FILE", value = "/etc/ssl/certs/ca-certificates.crt" },
      ]
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = "/ecs/rolecall"
          awslogs-region        = "cn-north-1"
          awslogs-stream-prefix = "rolecall"
        }
      }
    }]
    error_message = "the container"
  }
}

run "everything_has_just_the_statements_it_needs" {
  variables {
    secret_arns            = ["arn:aws-cn:secretsmanager:cn-north-1:999999999999:secret:jwt-AbCdEf"]
    secret_kms_key_arns    = ["arn:aws-cn:kms:cn-north-1:999999999999:key/0123-secrets"]
    assumable_role_arns    = ["arn:aws-cn:iam::111122223333:role/QuiltReader"]
    ecr_repository_arn     = "arn:aws-cn:ecr:cn-north-1:999999999999:repository/rolecall"
    enable_execute_command = true
  }
  assert {
    condition = jsondecode(aws_iam_role_policy.task[0].policy).Statement == [
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
        Sid    = "ExecuteCommand"
        Effect = "Allow"
        Action = [
          "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
          "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
        ]
        Resource = "*"
      },
    ]
    error_message = "the policy of the task's role"
  }
  assert {
    condition = jsondecode(aws_iam_role_policy.execution.policy).Statement == [
      {
        Sid      = "Logs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "arn:aws-cn:logs:cn-north-1:999999999999:log-group:/ecs/rolecall:*"
      },
      { Sid = "RegistryToken", Effect = "Allow", Action = "ecr:GetAuthorizationToken", Resource = "*" },
      {
        Sid      = "Pull"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = "arn:aws-cn:ecr:cn-north-1:999999999999:repository/rolecall"
      },
    ]
    error_message = "the policy of the execution role"
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].readonlyRootFilesystem == false
    error_message = "ECS Exec writes to the root file system"
  }
}

run "a_size_that_fargate_does_not_have" {
  command = plan
  variables {
    cpu = 512
  }
  expect_failures = [var.memory]
}

run "a_size_that_fargate_has" {
  command = plan
  variables {
    cpu    = 4096
    memory = 30720
  }
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
