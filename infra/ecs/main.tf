# Rolecall as a service on ECS (Fargate), behind a load balancer that is there already: the same binary, in a container.

data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition
  region    = data.aws_region.this.id
  suffix    = data.aws_partition.this.dns_suffix

  tags        = merge({ "rolecall:stack" = var.name }, var.tags)
  external_id = coalesce(var.external_id, var.name)
  public_url  = var.public_url != null ? var.public_url : "https://${var.listener_host}${var.listener_base_path}"

  environment = merge(
    {
      ROLECALL_CONFIG      = var.configuration
      ROLECALL_EXTERNAL_ID = local.external_id
      ROLECALL_PUBLIC_URL  = local.public_url
      SSL_CERT_FILE        = "/etc/ssl/certs/ca-certificates.crt"
    },
    var.environment,
  )

  task_statements = [for entry in [
    # The process reads its secrets itself, when it needs them: none stands in its environment, and a rotated one is seen.
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
    [var.enable_execute_command, {
      Sid    = "ExecuteCommand"
      Effect = "Allow"
      Action = [
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
      ]
      Resource = "*"
    }],
  ] : entry[1] if entry[0]]

  execution_statements = [for entry in [
    [true, {
      Sid      = "Logs"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/ecs/${var.name}:*"
    }],
    # A token is of the registry, not of a repository.
    [var.ecr_repository_arn != null, {
      Sid      = "RegistryToken"
      Effect   = "Allow"
      Action   = "ecr:GetAuthorizationToken"
      Resource = "*"
    }],
    [var.ecr_repository_arn != null, {
      Sid      = "Pull"
      Effect   = "Allow"
      Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Resource = var.ecr_repository_arn
    }],
  ] : entry[1] if entry[0]]

  trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_ecs_cluster" "this" {
  name = var.name
  setting {
    name  = "containerInsights"
    value = "enabled"
  }
  tags = local.tags
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/ecs/${var.name}"
  retention_in_days = var.log_retention_in_days
  kms_key_id        = var.kms_key_arn
  tags              = local.tags
}

resource "aws_iam_role" "task" {
  name               = "${var.name}-task"
  assume_role_policy = local.trust
  tags               = local.tags
}

resource "aws_iam_role_policy" "task" {
  count  = length(local.task_statements) > 0 ? 1 : 0
  name   = "task"
  role   = aws_iam_role.task.name
  policy = jsonencode({ Version = "2012-10-17", Statement = local.task_statements })
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  assume_role_policy = local.trust
  tags               = local.tags
}

resource "aws_iam_role_policy" "execution" {
  name   = "execution"
  role   = aws_iam_role.execution.name
  policy = jsonencode({ Version = "2012-10-17", Statement = local.execution_statements })
}

resource "aws_security_group" "this" {
  name        = var.name
  description = "Rolecall ${var.name}: from the load balancer"
  vpc_id      = var.vpc_id
  tags        = local.tags
  # EC2 deletes no group that is in use: the tasks leave the old one first.
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "load_balancer" {
  security_group_id            = aws_security_group.this.id
  description                  = "Load balancer"
  ip_protocol                  = "tcp"
  from_port                    = 8080
  to_port                      = 8080
  referenced_security_group_id = var.alb_security_group_id
  tags                         = local.tags
}

resource "aws_vpc_security_group_egress_rule" "https" {
  for_each          = toset(var.egress_cidr_blocks)
  security_group_id = aws_security_group.this.id
  description       = "HTTPS"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = each.value
  tags              = local.tags
}

resource "aws_lb_target_group" "this" {
  name                 = var.name
  target_type          = "ip"
  protocol             = "HTTP"
  port                 = 8080
  vpc_id               = var.vpc_id
  deregistration_delay = 30
  # 503 is an answer too: a secret or an issuer could not be reached. Another task would not reach it either, and this one's streams
  # would be cut off.
  health_check {
    path                = "/healthz"
    protocol            = "HTTP"
    matcher             = "200,503"
    interval            = 15
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }
  tags = local.tags
}

locals {
  # Two rules, because a condition takes three values at most and a rule five: Elastic Load Balancing user guide, "Condition
  # types for listener rules". Below a base path, clients that guess ask for the metadata beside it (RFC 9728, section 3.1).
  base = var.listener_base_path
  listener_rules = {
    calls    = { position = 0, paths = ["${local.base}/mcp", "${local.base}/mcp/*", "${local.base}/healthz"] }
    metadata = { position = 1, paths = concat(["${local.base}/.well-known/*", "${local.base}/connect/*"], local.base == "" ? [] : ["/.well-known/oauth-protected-resource${local.base}/*"]) }
  }
}

resource "aws_lb_listener_rule" "this" {
  for_each     = local.listener_rules
  listener_arn = var.alb_listener_arn
  priority     = var.listener_priority + each.value.position

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
  condition {
    path_pattern {
      values = each.value.paths
    }
  }
  dynamic "condition" {
    for_each = var.listener_host == null ? [] : [var.listener_host]
    content {
      host_header {
        values = [condition.value]
      }
    }
  }
  tags = local.tags
  # Elastic Load Balancing deletes no group that a rule forwards to: with another group come other rules.
  lifecycle {
    replace_triggered_by = [aws_lb_target_group.this.arn]
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn
  runtime_platform {
    cpu_architecture        = var.architecture == "arm64" ? "ARM64" : "X86_64"
    operating_system_family = "LINUX"
  }
  container_definitions = jsonencode([{
    name      = "rolecall"
    image     = var.image
    essential = true
    command   = ["serve", "--listen", "0.0.0.0:8080"]
    user      = "65532:65532"
    # ECS Exec writes to it.
    readonlyRootFilesystem = !var.enable_execute_command
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    portMappings           = [{ containerPort = 8080, protocol = "tcp" }]
    stopTimeout            = 30
    environment            = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "rolecall"
      }
    }
  }])
  tags = local.tags
}

resource "aws_ecs_service" "this" {
  name                               = var.name
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.this.arn
  launch_type                        = "FARGATE"
  desired_count                      = var.desired_count
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = 30
  enable_execute_command             = var.enable_execute_command
  propagate_tags                     = "SERVICE"
  # Its default differs between the tools: said, so that they agree.
  availability_zone_rebalancing = "ENABLED"

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }
  network_configuration {
    subnets          = var.private_subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = false
  }
  load_balancer {
    target_group_arn = aws_lb_target_group.this.arn
    container_name   = "rolecall"
    container_port   = 8080
  }
  tags = local.tags
  # A target group takes tasks only when a listener uses it, and a task starts only with its roles' permissions and its network:
  # after some that did not, the deployment would have failed.
  depends_on = [
    aws_lb_listener_rule.this,
    aws_iam_role_policy.task,
    aws_iam_role_policy.execution,
    aws_vpc_security_group_egress_rule.https,
    aws_vpc_security_group_ingress_rule.load_balancer,
  ]
}
