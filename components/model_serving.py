"""Where the models' load balancer meets the cluster: numbers that both programs must agree on."""

from __future__ import annotations

# The port on every node behind which the model proxy listens; in Kubernetes' range 30000 to 32767.
NODE_PORT = 30443
# How long a connection may finish after its node is taken out; a model server drains no longer than this.
DRAIN_S = 600
