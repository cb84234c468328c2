"""The parts of the policy evaluator: documents, patterns, conditions, principals. Standard library only."""
