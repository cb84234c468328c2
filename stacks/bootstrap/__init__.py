"""Bootstrap: the few steps that no resource type covers, each a command that says what it found afterwards."""
