"""The building blocks that programs in other languages may use, as one Pulumi package.

Hosted are those whose arguments and outputs are data: text, numbers, lists, maps with text keys, enums. The
others take or give whole resources of the same program (what to wait for, the bucket that logs go to), which
another process cannot hand over. They stay Python's, and this list says which are not.
"""

from __future__ import annotations

import inspect
import sys
import typing

import pulumi
from pulumi.provider.experimental.component import ComponentProvider

from components.bedrock_access import BedrockAccess
from components.cache import Cache
from components.component import PACKAGE, Component
from components.data_key import DataKey
from components.encryption_control import EncryptionControl
from components.enforced_guardrail import EnforcedGuardrail
from components.gateway_dashboard import GatewayDashboard
from components.guardrail import BedrockGuardrail
from components.image_repository import ImageRepository
from components.log_group import LogGroup
from components.permissions_boundary import PermissionsBoundary
from components.s3_endpoint import S3Endpoint
from components.service_alarms import ServiceAlarms
from components.service_endpoints import ServiceEndpoints
from components.workload_registration import WorkloadRegistration

VERSION = "0.1.0"
HOSTED: tuple[type[Component], ...] = (
    BedrockAccess,
    BedrockGuardrail,
    Cache,
    DataKey,
    EncryptionControl,
    EnforcedGuardrail,
    GatewayDashboard,
    ImageRepository,
    LogGroup,
    PermissionsBoundary,
    S3Endpoint,
    ServiceAlarms,
    ServiceEndpoints,
    WorkloadRegistration,
)


def hosted() -> list[type[pulumi.ComponentResource]]:
    """The components, with their annotations as types: the SDK's analyzer does not read annotations as text."""
    for component in HOSTED:
        _resolve(component, set())
    return list(HOSTED)


def provider() -> ComponentProvider:
    """What the package answers with, in this process."""
    return ComponentProvider(hosted(), PACKAGE, version=VERSION)


def _resolve(kind: object, done: set[object]) -> None:
    """`from __future__ import annotations` leaves text behind; here it becomes what it says."""
    for part in typing.get_args(kind):
        _resolve(part, done)
    if not isinstance(kind, type) or kind in done:
        return
    done.add(kind)
    if typing.is_typeddict(kind):
        _resolve_annotations(kind, kind, done)
    elif issubclass(kind, Component):
        _resolve_annotations(kind, kind, done)
        _resolve_annotations(kind.__init__, kind, done)


def _resolve_annotations(holder: typing.Any, kind: type, done: set[object]) -> None:  # Any: class or function
    written = inspect.get_annotations(holder)
    holder.__annotations__ = {name: _evaluated(annotation, kind) for name, annotation in written.items()}
    for annotation in holder.__annotations__.values():
        _resolve(annotation, done)


def _evaluated(annotation: object, kind: type) -> object:
    text = annotation.__forward_arg__ if isinstance(annotation, typing.ForwardRef) else annotation
    if not isinstance(text, str):
        return annotation
    # The text is an annotation in our own source, read in the module that holds it. typing.get_type_hints would
    # go on into pulumi.Input, whose own forward references it resolves in the wrong module.
    return eval(text, vars(sys.modules[kind.__module__]))  # noqa: S307  # nothing from outside gets here
