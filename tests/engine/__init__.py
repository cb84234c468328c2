"""Tests on the real Pulumi engine."""
