variable "name" {
  description = "Name of the stack's service, and prefix of the names of its other resources."
  type        = string
  default     = "rolecall"
  nullable    = false
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}[a-z0-9]$", var.name)) && !startswith(var.name, "sg-")
    error_message = "A name must be 2 to 32 characters of a-z, 0-9 and '-', begin with a letter but not with sg-, and not end with '-'."
  }
}

variable "image" {
  description = "Image of the container, with a tag or a digest."
  type        = string
  nullable    = false
  validation {
    condition     = can(regex("^[^[:space:]:@]+(:[0-9]+)?(/[^[:space:]:@]+)*(:[A-Za-z0-9._-]+|@sha256:[0-9a-f]{64})$", var.image))
    error_message = "An image must be given with a tag or a digest."
  }
}

variable "configuration" {
  description = "Rolecall's configuration: the JSON document that docs/config.schema.json describes. It holds ARNs of secrets, never secrets."
  type        = string
  nullable    = false
  validation {
    condition     = can(keys(jsondecode(var.configuration))) && length(var.configuration) <= 3500
    error_message = "The configuration must be a JSON object of at most 3500 characters."
  }
  # Written anew, a document has no spaces and escapes in which a name could hide, and its names are sorted.
  validation {
    condition = try(length(regexall(
      "\"(?:hs256|clientSecret)\":", jsonencode(jsondecode(var.configuration)),
      )) == length(regexall(
      "\"(?:hs256|clientSecret)\":{\"[$]secret\":(?:\"arn:|{)", jsonencode(jsondecode(var.configuration)),
    )), true)
    error_message = "The configuration must hold no secret: hs256 and clientSecret must be {\"$secret\": \"ARN\"}."
  }
}

variable "public_url" {
  description = "URL that clients use, where it is not the front door's own, such as https://mcp.example.com."
  type        = string
  default     = null
  validation {
    condition     = var.public_url == null ? true : can(regex("^https://[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[A-Za-z0-9._~-]+)*$", var.public_url)) && !endswith(var.public_url, "/mcp")
    error_message = "A public URL must begin with https://, have its host in lower case, and not end with '/' or '/mcp'."
  }
}

variable "architecture" {
  description = "Instruction set that the image was built for."
  type        = string
  default     = "arm64"
  nullable    = false
  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "The architecture must be arm64 or x86_64."
  }
}

variable "cpu" {
  description = "CPU units of a task: 1024 are one processor."
  type        = number
  default     = 256
  nullable    = false
  validation {
    condition     = contains([256, 512, 1024, 2048, 4096], var.cpu)
    error_message = "The CPU must be 256, 512, 1024, 2048 or 4096 units."
  }
}

variable "memory" {
  description = "Memory of a task in MiB."
  type        = number
  default     = 512
  nullable    = false
  validation {
    condition     = floor(var.memory) == var.memory && var.memory >= 512 && var.memory <= 30720
    error_message = "The memory must be a whole number of MiB from 512 to 30720."
  }
  validation {
    condition = anytrue([
      var.cpu == 256 && contains([512, 1024, 2048], var.memory),
      var.cpu == 512 && contains(range(1024, 4097, 1024), var.memory),
      var.cpu == 1024 && contains(range(2048, 8193, 1024), var.memory),
      var.cpu == 2048 && contains(range(4096, 16385, 1024), var.memory),
      var.cpu == 4096 && contains(range(8192, 30721, 1024), var.memory),
    ])
    error_message = "Fargate has no task of this CPU and memory: 256 units go with 512, 1024 or 2048 MiB, 512 with 1 to 4 GiB, 1024 with 2 to 8, 2048 with 4 to 16, and 4096 with 8 to 30, in whole GiB."
  }
}

variable "desired_count" {
  description = "How many tasks run."
  type        = number
  default     = 2
  nullable    = false
  validation {
    condition     = floor(var.desired_count) == var.desired_count && var.desired_count >= 0
    error_message = "The desired count must be a whole number from 0."
  }
}

variable "vpc_id" {
  description = "VPC in which the tasks run."
  type        = string
  nullable    = false
  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "A VPC must be given by its id, such as vpc-0123456789abcdef0."
  }
}

variable "private_subnet_ids" {
  description = "Private subnets of the VPC in which the tasks run."
  type        = list(string)
  nullable    = false
  validation {
    condition     = alltrue([for member in var.private_subnet_ids : can(regex("^subnet-[0-9a-f]+$", member))])
    error_message = "A subnet must be given by its id, such as subnet-0123456789abcdef0."
  }
  validation {
    condition     = length(var.private_subnet_ids) > 0
    error_message = "A VPC and its subnets must be given together."
  }
}

variable "alb_listener_arn" {
  description = "Listener of the load balancer that forwards to the tasks."
  type        = string
  nullable    = false
  validation {
    condition     = can(regex("^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:listener/app/[A-Za-z0-9-]+/[0-9a-f]+/[0-9a-f]+$", var.alb_listener_arn))
    error_message = "A listener must be given by the full ARN of an application load balancer's listener."
  }
}

variable "alb_security_group_id" {
  description = "Security group of the load balancer, which alone may reach the tasks."
  type        = string
  nullable    = false
  validation {
    condition     = can(regex("^sg-[0-9a-f]+$", var.alb_security_group_id))
    error_message = "A security group must be given by its id, such as sg-0123456789abcdef0."
  }
}

variable "listener_priority" {
  description = "Priority of the first of two listener rules; the second has the next one."
  type        = number
  default     = 100
  nullable    = false
  validation {
    condition     = floor(var.listener_priority) == var.listener_priority && var.listener_priority >= 1 && var.listener_priority <= 49999
    error_message = "A listener priority must be a whole number from 1 to 49999."
  }
}

variable "listener_host" {
  description = "Host name for which the listener forwards; any where it is not given."
  type        = string
  default     = null
  validation {
    condition     = var.listener_host == null || can(regex("^[a-z0-9][a-z0-9.-]*$", var.listener_host))
    error_message = "A listener host must be a host name in lower case, without wildcards."
  }
  validation {
    condition     = var.listener_host != null || var.public_url != null
    error_message = "The front door alb needs a listener host or a public URL, by which clients reach it."
  }
}

variable "listener_base_path" {
  description = "Path below which the load balancer serves Rolecall, such as /tools."
  type        = string
  default     = ""
  nullable    = false
  validation {
    condition     = can(regex("^(/[A-Za-z0-9._~-]+)*$", var.listener_base_path)) && !endswith(var.listener_base_path, "/mcp") && length(var.listener_base_path) <= 80
    error_message = "A base path must be empty, or begin with '/', not end with it or '/mcp', and have at most 80 characters."
  }
}

variable "egress_cidr_blocks" {
  description = "IPv4 ranges that the tasks may reach on port 443 from their VPC."
  type        = list(string)
  default     = ["0.0.0.0/0"]
  nullable    = false
  validation {
    condition     = length(var.egress_cidr_blocks) > 0 && alltrue([for member in var.egress_cidr_blocks : can(regex("^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])/(3[0-2]|[12]?[0-9])$", member))])
    error_message = "Egress must be given as IPv4 CIDR blocks, at least one."
  }
}

variable "secret_arns" {
  description = "Secrets that the task may read: those that the configuration names."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for member in var.secret_arns : can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@!-]+-[A-Za-z0-9]{6}$", member))])
    error_message = "A secret must be given by its full Secrets Manager ARN, with the six characters that AWS adds, without wildcards."
  }
}

variable "secret_kms_key_arns" {
  description = "Customer managed KMS keys with which these secrets are encrypted."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for member in var.secret_kms_key_arns : can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", member))])
    error_message = "A KMS key must be given by its full key ARN."
  }
}

variable "assumable_role_arns" {
  description = "Roles that the task may assume for its callers."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for member in var.assumable_role_arns : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$", member))])
    error_message = "A role must be given by its full ARN, without wildcards."
  }
}

variable "external_id" {
  description = "External id that is sent with each assumption of a role; the name where it is not given."
  type        = string
  default     = null
  validation {
    condition     = var.external_id == null ? true : can(regex("^[A-Za-z0-9+=,.@:/_-]{2,}$", var.external_id)) && length(var.external_id) <= 1224
    error_message = "An external id must be 2 to 1224 characters of A-Z, a-z, 0-9 and '+=,.@:/_-'."
  }
}

variable "environment" {
  description = "Further environment variables, for `$env` in the configuration. Never secrets."
  type        = map(string)
  default     = {}
  nullable    = false
  validation {
    condition     = alltrue([for name in keys(var.environment) : can(regex("^[A-Za-z][A-Za-z0-9_]+$", name)) && !startswith(name, "ROLECALL_")])
    error_message = "Names of variables must be of A-Z, a-z, 0-9 and '_', and not begin with ROLECALL_."
  }
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "ecr_repository_arn" {
  description = "ECR repository that the image is pulled from; none where the image is public."
  type        = string
  default     = null
  validation {
    condition     = var.ecr_repository_arn == null || can(regex("^arn:aws[a-z-]*:ecr:[a-z0-9-]+:[0-9]{12}:repository/[a-z0-9._/-]+$", var.ecr_repository_arn))
    error_message = "An ECR repository must be given by its full ARN."
  }
}

variable "log_retention_in_days" {
  description = "How long logs are kept, in days."
  type        = number
  default     = 30
  nullable    = false
  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_in_days)
    error_message = "The log retention must be a number of days that CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}

variable "kms_key_arn" {
  description = "Customer managed KMS key that encrypts logs."
  type        = string
  default     = null
  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.kms_key_arn))
    error_message = "A KMS key must be given by its full key ARN."
  }
}

variable "enable_execute_command" {
  description = "Whether operators may run commands in a task (ECS Exec). Its file system can then be written to."
  type        = bool
  default     = false
  nullable    = false
}
