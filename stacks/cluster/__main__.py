"""Model cluster: namespaces, network policies, add-ons and the servers of models of our own."""

from __future__ import annotations

from stacks.cluster.deployment import deploy

deploy()
