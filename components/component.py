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


class LateComponent(Component):
    """A component whose children depend on whatever it depends on itself.

    Pulumi makes a component wait, but writes no dependency of its children into the state: `destroy` would then
    take away what they still need.
    """

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        self._before = opts.depends_on if opts else None

    def child(self, **options: object) -> pulumi.ResourceOptions:
        inherited = pulumi.ResourceOptions(parent=self, depends_on=self._before)
        own = pulumi.ResourceOptions(**options)  # type: ignore[arg-type]  # ResourceOptions checks them
        return pulumi.ResourceOptions.merge(inherited, own)
