"""Our provider for moto: creates AWS resources through the AWS API on loopback, and reads each one back."""
