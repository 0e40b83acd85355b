# The function in a VPC: nothing comes in, and HTTPS goes out to the ranges that are given.

resource "aws_security_group" "function" {
  count       = local.in_vpc ? 1 : 0
  name        = var.name
  description = "Rolecall ${var.name}: egress only"
  vpc_id      = var.vpc_id
  tags        = local.tags
  # Lambda takes its network interfaces away as the function's role, some 20 minutes after the function is gone: the role stays
  # until they are, and with them this group.
  depends_on = [aws_iam_role_policy.function]
  # EC2 deletes no group that is in use: the function leaves the old one first.
  lifecycle {
    create_before_destroy = true
  }
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
