"""Before an update: what a preview may not contain."""
