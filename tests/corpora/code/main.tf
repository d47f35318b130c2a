terraform {
  required_version = ">= 1.7.4"
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 5.41.0" }
  }
}

variable "db_password" {
  type      = string
  sensitive = true
}

data "aws_secretsmanager_secret_version" "db" {
  secret_id = aws_secretsmanager_secret.db.id
}

resource "aws_db_instance" "main" {
  identifier     = "main-20240311"
  engine_version = "16.2"
  username       = "app"
  password       = var.db_password
  kms_key_id     = aws_kms_key.main.arn
  port           = 5432
  tags           = { Commit = "c811ad7063a7e5b2d80463f9a1c7e5b2d80463f9", Owner = "platform" }
}

resource "aws_security_group_rule" "all" {
  type        = "egress"
  from_port   = 0
  to_port     = 65535
  cidr_blocks = ["0.0.0.0/0"]
}

output "token_url" {
  value = "https://${aws_cognito_user_pool_domain.main.domain}.auth.example.com/oauth2/token"
}
