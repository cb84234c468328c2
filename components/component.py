"""Component: a building block whose type token is spelled once for all."""

from __future__ import annotations

import pulumi

PACKAGE = "llm-pipelines"


class Component(pulumi.ComponentResource):
    """Parent of every building block. Its children take provider and protection from it."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"{PACKAGE}:components:{type(self).__name__}", name, None, opts)

    def child(self, **options: object) -> pulumi.ResourceOptions:
        """Options of a resource inside this component; `options` are pulumi.ResourceOptions' own."""
        return pulumi.ResourceOptions(parent=self, **options)  # type: ignore[arg-type]  # ResourceOptions checks them
