# A VPC that is made in the same run: its id is not known when Terraform counts resources.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

resource "terraform_data" "vpc_id" {
  input = "vpc-0123"
}

module "rolecall" {
  source             = "../.."
  package_path       = "tests/bootstrap.zip"
  configuration      = "{}"
  vpc_id             = terraform_data.vpc_id.output
  private_subnet_ids = [replace(terraform_data.vpc_id.output, "vpc", "subnet")]
}
