"""Benchmarks: figures and ratios against references measured in the same run. Never a test."""
