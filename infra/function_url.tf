# Front door function_url: for callers that sign with AWS credentials. Who may call it, their own policies say.

resource "aws_lambda_function_url" "this" {
  count              = var.front_door == "function_url" ? 1 : 0
  function_name      = aws_lambda_function.this.function_name
  qualifier          = aws_lambda_alias.live.name
  authorization_type = "AWS_IAM"
  invoke_mode        = "RESPONSE_STREAM"
}
