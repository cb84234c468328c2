"""The real engine can attach to the provider and speak its protocol."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import grpc
import pytest
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from stacks.local.engine_values import plain, struct

URN = "urn:pulumi:dev::p::a:b:C$aws:kms/key:Key::key"


@pytest.fixture(scope="module")
def attached() -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    command = [sys.executable, "-m", "stacks.local.provider.serve", "recording"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        stub.Attach(plugin_pb2.PluginAttach(address="127.0.0.1:1"))
        variables = {"aws:config:region": "eu-west-1"}
        arguments = struct({"allowedAccountIds": '["111122223333"]', "defaultTags": '{"tags": {"owner": "a"}}'})
        stub.Configure(provider_pb2.ConfigureRequest(variables=variables, args=arguments))
        yield stub
    process.terminate()
    process.communicate(timeout=60)


def test_check_adds_what_the_provider_generates(attached: provider_pb2_grpc.ResourceProviderStub) -> None:
    answer = attached.Check(provider_pb2.CheckRequest(urn=URN, news=struct({"enableKeyRotation": True})))

    assert not answer.failures
    assert plain(answer.inputs) == {"enableKeyRotation": True, "tagsAll": {"owner": "a"}}


def test_check_refuses_what_the_schema_does_not_know(attached: provider_pb2_grpc.ResourceProviderStub) -> None:
    answer = attached.Check(provider_pb2.CheckRequest(urn=URN, news=struct({"enableKeyRotatoin": True})))

    reasons = [(failure.property, failure.reason) for failure in answer.failures]
    assert reasons == [("enableKeyRotatoin", "unknown property; did you mean enableKeyRotation?")]


def test_create_answers_id_and_outputs(attached: provider_pb2_grpc.ResourceProviderStub) -> None:
    answer = attached.Create(provider_pb2.CreateRequest(urn=URN, properties=struct({"enableKeyRotation": True})))

    outputs = plain(answer.properties)
    assert outputs["arn"] == f"arn:aws:kms:eu-west-1:111122223333:key/{answer.id}"
    assert outputs["keyId"] == answer.id


def test_unchanged_inputs_are_no_difference(attached: provider_pb2_grpc.ResourceProviderStub) -> None:
    inputs = struct({"enableKeyRotation": True, "tags": {"a": "b"}})
    created = attached.Create(provider_pb2.CreateRequest(urn=URN, properties=inputs))

    same = attached.Diff(provider_pb2.DiffRequest(id=created.id, urn=URN, olds=created.properties, news=inputs))
    changed = struct({"enableKeyRotation": False, "tags": {"a": "b"}})
    other = attached.Diff(provider_pb2.DiffRequest(id=created.id, urn=URN, olds=created.properties, news=changed))

    assert same.changes == provider_pb2.DiffResponse.DIFF_NONE
    assert (other.changes, list(other.replaces)) == (provider_pb2.DiffResponse.DIFF_SOME, ["enableKeyRotation"])


def test_unknown_function_is_refused(attached: provider_pb2_grpc.ResourceProviderStub) -> None:
    region = attached.Invoke(provider_pb2.InvokeRequest(tok="aws:index/getRegion:getRegion"))
    assert plain(getattr(region, "return"))["region"] == "eu-west-1"

    with pytest.raises(grpc.RpcError):
        attached.Invoke(provider_pb2.InvokeRequest(tok="aws:ec2/getVpc:getVpc"))
