"""In which region a resource stands: its own, or the one of the stack's AWS provider."""

from __future__ import annotations

from typing import Final

from policy_packs.resource import Resource, Stack
from policy_packs.view import MISSING, View

AWS_PROVIDER: Final = "pulumi:providers:aws"


def home_region(stack: Stack) -> str:
    """The one region that every AWS provider of the stack names; nothing where they differ or say none."""
    regions = {one.at("region").text for one in stack.of_type(AWS_PROVIDER)}
    return regions.pop() if len(regions) == 1 else ""


def region_of(stack: Stack, resource: Resource) -> View:
    """As text; empty where neither the resource nor a provider says it."""
    own = resource.at("region")
    return View(home_region(stack), own.path) if own.value is MISSING else own
