"""Proves that Terraform, CDK and CloudFormation define one and the same stack. `__main__` says how."""
