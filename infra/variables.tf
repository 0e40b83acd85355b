variable "name" {
  description = "Name of the stack's function, and prefix of the names of its other resources."
  type        = string
  default     = "rolecall"
  nullable    = false
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}[a-z0-9]$", var.name)) && !startswith(var.name, "sg-")
    error_message = "A name must be 2 to 32 characters of a-z, 0-9 and '-', begin with a letter but not with sg-, and not end with '-'."
  }
}

variable "package_path" {
  description = "Path of the bootstrap.zip that `make package` made for the architecture."
  type        = string
  nullable    = false
  validation {
    condition     = endswith(var.package_path, ".zip")
    error_message = "A package must be a file that ends in .zip, as `make package` makes it."
  }
  validation {
    condition     = !endswith(var.package_path, ".zip") || try(fileexists(var.package_path), false)
    error_message = "There is no package at ${var.package_path}: `make package` makes it."
  }
  # The last folder that names one: others may be above.
  validation {
    condition = try(reverse([
      for part in split("/", var.package_path) : part if contains(["arm64", "x86_64"], part)
    ])[0], var.architecture) == var.architecture
    error_message = "The package's path names the other architecture: architecture must be the one that the package was built for."
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
  description = "Instruction set that the package was built for."
  type        = string
  default     = "arm64"
  nullable    = false
  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "The architecture must be arm64 or x86_64."
  }
}

variable "memory_size" {
  description = "Memory of the function in MiB; its share of a processor grows with it."
  type        = number
  default     = 256
  nullable    = false
  validation {
    condition     = floor(var.memory_size) == var.memory_size && var.memory_size >= 128 && var.memory_size <= 10240
    error_message = "The memory size must be a whole number of MiB from 128 to 10240."
  }
}

variable "timeout_seconds" {
  description = "How long one request may take, in seconds."
  type        = number
  default     = 30
  nullable    = false
  validation {
    condition     = floor(var.timeout_seconds) == var.timeout_seconds && var.timeout_seconds >= 1 && var.timeout_seconds <= 900
    error_message = "The timeout must be a whole number of seconds from 1 to 900."
  }
  validation {
    condition     = var.front_door != "http_api" || var.timeout_seconds <= 30
    error_message = "An HTTP API waits 30 seconds at most: the timeout must be 30 or less."
  }
}

variable "reserved_concurrency" {
  description = "How many instances may run at once; -1 for no limit of its own."
  type        = number
  default     = -1
  nullable    = false
  validation {
    condition     = floor(var.reserved_concurrency) == var.reserved_concurrency && var.reserved_concurrency >= -1
    error_message = "The reserved concurrency must be -1 or a whole number from 0."
  }
}

variable "provisioned_concurrency" {
  description = "How many instances are kept ready."
  type        = number
  default     = 0
  nullable    = false
  validation {
    condition     = floor(var.provisioned_concurrency) == var.provisioned_concurrency && var.provisioned_concurrency >= 0
    error_message = "The provisioned concurrency must be a whole number from 0."
  }
}

variable "function_version" {
  description = "Version that the alias `live` points to, to roll back to; the newest where it is not given."
  type        = string
  default     = null
  validation {
    condition     = var.function_version == null || can(regex("^[1-9][0-9]*$", var.function_version))
    error_message = "A function version must be a number, such as 7."
  }
}

variable "front_door" {
  description = "What clients call: http_api, rest_api, alb or function_url."
  type        = string
  default     = "http_api"
  nullable    = false
  validation {
    condition     = contains(["http_api", "rest_api", "alb", "function_url"], var.front_door)
    error_message = "The front door must be http_api, rest_api, alb or function_url."
  }
}

variable "alb_listener_arn" {
  description = "Listener of the load balancer that forwards to the function; for the front door alb."
  type        = string
  default     = null
  validation {
    condition     = var.alb_listener_arn == null || can(regex("^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:listener/app/[A-Za-z0-9-]+/[0-9a-f]+/[0-9a-f]+$", var.alb_listener_arn))
    error_message = "A listener must be given by the full ARN of an application load balancer's listener."
  }
  validation {
    condition     = var.front_door != "alb" || var.alb_listener_arn != null
    error_message = "The front door alb needs the ARN of a listener."
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
    condition     = var.front_door != "alb" || var.listener_host != null || var.public_url != null
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

variable "web_acl_arn" {
  description = "WAF web ACL that stands before the front door rest_api."
  type        = string
  default     = null
  validation {
    condition     = var.web_acl_arn == null || can(regex("^arn:aws[a-z-]*:wafv2:[a-z0-9-]+:[0-9]{12}:regional/webacl/[A-Za-z0-9_-]+/[0-9a-f-]+$", var.web_acl_arn))
    error_message = "A web ACL must be given by the full ARN of a regional WAFv2 web ACL."
  }
  validation {
    condition     = var.web_acl_arn == null || var.front_door == "rest_api"
    error_message = "A web ACL can stand before the front door rest_api only."
  }
}

variable "vpc_id" {
  description = "VPC in which the function runs; none where it is not given."
  type        = string
  default     = null
  validation {
    condition     = var.vpc_id == null || can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "A VPC must be given by its id, such as vpc-0123456789abcdef0."
  }
}

variable "private_subnet_ids" {
  description = "Private subnets of the VPC in which the function runs."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for member in var.private_subnet_ids : can(regex("^subnet-[0-9a-f]+$", member))])
    error_message = "A subnet must be given by its id, such as subnet-0123456789abcdef0."
  }
  validation {
    condition     = (var.vpc_id == null) == (length(var.private_subnet_ids) == 0)
    error_message = "A VPC and its subnets must be given together."
  }
}

variable "egress_cidr_blocks" {
  description = "IPv4 ranges that the function may reach on port 443 from its VPC."
  type        = list(string)
  default     = ["0.0.0.0/0"]
  nullable    = false
  validation {
    condition     = length(var.egress_cidr_blocks) > 0 && alltrue([for member in var.egress_cidr_blocks : can(regex("^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])/(3[0-2]|[12]?[0-9])$", member))])
    error_message = "Egress must be given as IPv4 CIDR blocks, at least one."
  }
}

variable "secret_arns" {
  description = "Secrets that the function may read: those that the configuration names."
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
  description = "Roles that the function may assume for its callers."
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
  # Of 4096 bytes: the rest is for what the module adds. Four letters of base64 are three bytes. Terraform writes `&`, `<` and `>`
  # as escapes, for which JSON does not ask: one that a user wrote begins with two backslashes here.
  validation {
    condition = length(base64encode(replace(replace(jsonencode(merge(
      {
        ROLECALL_CONFIG      = var.configuration
        ROLECALL_PUBLIC_URL  = var.public_url == null ? "" : var.public_url
        ROLECALL_EXTERNAL_ID = var.external_id == null ? var.name : var.external_id
      },
      var.environment,
    )), "\\\\", "xx"), "/\\\\u00(26|3c|3e)/", "x"))) <= 5064
    error_message = "Lambda measures the environment as JSON, where each quotation mark of a value is two bytes: configuration, public URL, external id and environment may take 3798 bytes."
  }
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
  nullable    = false
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
  description = "Customer managed KMS key that encrypts logs and the vault's table."
  type        = string
  default     = null
  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.kms_key_arn))
    error_message = "A KMS key must be given by its full key ARN."
  }
}

variable "enable_xray" {
  description = "Whether requests are traced with X-Ray."
  type        = bool
  default     = true
  nullable    = false
}

variable "enable_vault_table" {
  description = "Whether there is a DynamoDB table for the vault."
  type        = bool
  default     = false
  nullable    = false
}

variable "enable_deletion_protection" {
  description = "Whether the vault's table is protected from deletion."
  type        = bool
  default     = true
  nullable    = false
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms are sent to."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for member in var.alarm_topic_arns : can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", member))])
    error_message = "An alarm topic must be given by its full SNS ARN."
  }
}
