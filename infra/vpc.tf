# The function in a VPC: nothing comes in, and HTTPS goes out to the ranges that are given.

resource "aws_security_group" "function" {
  count       = local.in_vpc ? 1 : 0
  name        = var.name
  description = "Rolecall ${var.name}: egress only"
  vpc_id      = var.vpc_id
  tags        = local.tags
}

resource "aws_vpc_security_group_egress_rule" "https" {
  for_each          = local.in_vpc ? toset(var.egress_cidr_blocks) : toset([])
  security_group_id = aws_security_group.function[0].id
  description       = "HTTPS"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = each.value
  tags              = local.tags
}
