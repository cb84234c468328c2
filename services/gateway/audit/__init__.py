"""The audit chain as pure functions: canonical records, Merkle trees, signed heads, verification. No IO."""
