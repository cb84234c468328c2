"""The model proxy: all that reaches a model server passes here, on four paths, with known fields, over TLS 1.3."""
