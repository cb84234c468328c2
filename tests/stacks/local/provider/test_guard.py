"""No request leaves the machine, whoever makes it and wherever a redirect points."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders

from stacks.local.provider.aws_calls import Aws, Endpoint
from stacks.local.provider.guard import LeavesTheMachine, is_loopback, refuse_leaving


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://localhost:8804", "http://[::1]:9", "http://127.8.0.1"])
def test_loopback_addresses_are_this_machine(url: str) -> None:
    assert is_loopback(url)
    assert Endpoint(url).url == url


@pytest.mark.parametrize(
    "url", ["https://s3.amazonaws.com", "http://10.0.0.1", "http://localhost.example.com", "http://0.0.0.0:1", "x"]
)
def test_endpoint_elsewhere_is_refused(url: str) -> None:
    assert not is_loopback(url)
    with pytest.raises(LeavesTheMachine, match="is not on this machine"):
        Endpoint(url)


def test_request_elsewhere_is_refused_without_its_query() -> None:
    request = AWSPreparedRequest("GET", "https://sts.amazonaws.com/?Signature=secret", HTTPHeaders(), b"", False)

    with pytest.raises(LeavesTheMachine, match=r"GET https://sts\.amazonaws\.com/ would leave the machine") as refused:
        refuse_leaving(request)
    assert "secret" not in str(refused.value)


def test_client_that_is_sent_elsewhere_stops_before_the_first_byte(endpoint: Endpoint) -> None:
    aws = Aws(endpoint, "eu-west-1", parts=None)
    s3 = aws.client("s3")

    def redirected(params: dict[str, object], **_event: object) -> None:
        params["url"] = "https://bucket.s3.eu-central-1.amazonaws.com/"

    s3.meta.events.register("before-call.s3.ListBuckets", redirected)
    with pytest.raises(LeavesTheMachine, match=r"GET https://bucket\.s3\.eu-central-1\.amazonaws\.com/ would leave"):
        s3.list_buckets()


def test_process_guard_holds_for_clients_of_others() -> None:
    """In a process of its own, because it changes botocore for all of it."""
    program = """
        import boto3
        from stacks.local.provider.guard import LeavesTheMachine, guard_process
        guard_process()
        guard_process()
        try:
            boto3.client("sts", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b",
                endpoint_url="http://192.0.2.1").get_caller_identity()
        except LeavesTheMachine as refusal:
            print(refusal)
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "POST http://192.0.2.1/ would leave the machine\n"
