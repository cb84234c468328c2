"""The platform of environment local on LocalStack: what it models is created there and reads back as asked.

Runs where LOCALSTACK_HOST (host:port) names a LocalStack of this machine; `localstack-client` finds it. Each
resource type is a test of its own: created and read back, or skipped with the reason.
"""

from __future__ import annotations

import functools
import json
import os
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping

import pytest

from stacks.local import engine
from stacks.local.engine_backend import Checked, invented_id
from stacks.local.engine_graph import Json
from stacks.local.provider.aws_calls import Aws, Endpoint
from stacks.local.provider.provider import MotoProvider
from stacks.local.provider.table import MODELLED
from tests.stacks.configurations import PLATFORM

HOST = os.environ.get("LOCALSTACK_HOST", "")
# The service behind a type, where the type's own name says another.
SERVICES = {
    "aws:cloudwatch/eventRule:EventRule": "events",
    "aws:cloudwatch/eventTarget:EventTarget": "events",
    "aws:cloudwatch/logGroup:LogGroup": "logs",
    "aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock": "s3control",
    "aws:appautoscaling": "application-autoscaling",
    "aws:ebs": "ec2",
    "aws:lb": "elbv2",
    "aws:vpc": "ec2",
    "aws:bedrockmodel": "bedrock",
}


def service_of(token: str) -> str:
    if token.startswith("aws:route53/resolver"):
        return "route53resolver"
    module = token.partition("/")[0]
    return SERVICES.get(token) or SERVICES.get(module) or module.removeprefix("aws:")


def offered() -> frozenset[str]:
    """The services of the LocalStack that runs, as it says itself."""
    with urllib.request.urlopen(f"http://{HOST}/_localstack/health", timeout=5) as answer:
        services: dict[str, str] = json.load(answer)["services"]
    return frozenset(name for name, state in services.items() if state in ("available", "running"))


class LocalStack(MotoProvider):
    """Creates what LocalStack models and remembers what became of each type; the rest is recorded only."""

    def __init__(self) -> None:
        from localstack_client.session import Session

        self._session = Session(aws_access_key_id="123456789012", aws_secret_access_key="local")
        super().__init__(Endpoint(f"http://{HOST}"), invents=True)
        self._offered = offered()
        self.outcomes: defaultdict[str, list[str]] = defaultdict(list)
        self._made: list[tuple[str, str, dict[str, Json]]] = []

    def _aws_as(self, role: str, region: str) -> Aws:
        return _Clients(self.endpoint, region, None, session=self._session)

    def created(self, resource: Checked) -> tuple[str, dict[str, Json]]:
        if service_of(resource.type) not in self._offered:
            return self._recorded(resource)
        try:
            identifier, outputs = super().created(resource)
        except Exception as error:  # noqa: BLE001 - whatever LocalStack does otherwise is a finding, not an end
            self.outcomes[resource.type].append(f"{resource.name}: {error}")
            return self._recorded(resource)
        self.outcomes[resource.type].append("")
        self._made.append((resource.type, identifier, outputs))
        return identifier, outputs

    def _recorded(self, resource: Checked) -> tuple[str, dict[str, Json]]:
        identifier = invented_id(resource)
        return identifier, self._completed(resource, identifier, {})

    def take_down(self) -> None:
        for token, identifier, outputs in reversed(self._made):
            self.deleted(token, identifier, outputs)


class _Clients(Aws):
    def __init__(self, endpoint: Endpoint, region: str, parts: None, *, session: Json) -> None:
        super().__init__(endpoint, region, parts)
        self._session = session

    def _new_client(self, service: str, **_credentials: str) -> Json:
        return self._session.client(service, region_name=self.region)


@functools.cache
def types() -> list[str]:
    """The modelled types that environment local deploys."""
    return sorted({one.type for one in engine.run(PLATFORM, "local").resources if one.type in MODELLED})


@pytest.fixture(scope="module")
def outcomes() -> Iterator[Mapping[str, list[str]]]:
    provider = LocalStack()
    engine.run(PLATFORM, "local", provider=provider)
    yield provider.outcomes
    provider.take_down()


_UNSET = pytest.param("", marks=pytest.mark.skip("LOCALSTACK_HOST is not set: nothing is read back from LocalStack"))


@pytest.mark.parametrize("token", types() if HOST else [_UNSET])
def test_what_localstack_models_reads_back_as_it_was_asked_for(outcomes: Mapping[str, list[str]], token: str) -> None:
    if service_of(token) not in offered():
        pytest.skip(f"{token}: this LocalStack has no {service_of(token)}")
    assert outcomes[token]
    assert [fault for fault in outcomes[token] if fault] == []
