"""Scan: what public scanners say of what we deploy, and why each finding that remains is none."""
