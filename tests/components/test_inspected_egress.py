"""Inspected egress: named hosts only, and each zone by its own endpoint, in whatever order AWS lists them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi_aws.networkfirewall.outputs import (
    FirewallFirewallStatus,
    FirewallFirewallStatusSyncState,
    FirewallFirewallStatusSyncStateAttachment,
)

from components.egress_hosts import HOSTS_MAX, EgressError, refuse_open_hosts
from components.inspected_egress import endpoint_of

SUBNETS = [f"subnet-{letter}" for letter in "abc"]


def state(subnet: str) -> FirewallFirewallStatusSyncState:
    attachment = FirewallFirewallStatusSyncStateAttachment(endpoint_id=f"vpce-of-{subnet}", subnet_id=subnet)
    return FirewallFirewallStatusSyncState(attachments=[attachment], availability_zone=f"zone of {subnet}")


@given(st.permutations(SUBNETS), st.sampled_from(SUBNETS))
def test_a_zone_gets_its_own_endpoint_in_whatever_order_they_are_listed(order: list[str], wanted: str) -> None:
    statuses = [FirewallFirewallStatus(sync_states=[state(subnet) for subnet in order])]

    assert endpoint_of(wanted, statuses) == f"vpce-of-{wanted}"


@pytest.mark.parametrize("states", [[], [state("subnet-a")]])
def test_a_zone_without_an_endpoint_is_refused_rather_than_led_past_the_firewall(
    states: list[FirewallFirewallStatusSyncState],
) -> None:
    with pytest.raises(EgressError, match="no endpoint in subnet subnet-b"):
        endpoint_of("subnet-b", [FirewallFirewallStatus(sync_states=states)])


@pytest.mark.parametrize("hosts", [["api.example.com"], ["api.example.com", "b-2.models.example.org"]])
def test_full_names_are_accepted(hosts: list[str]) -> None:
    refused = ""
    try:
        refuse_open_hosts(hosts)
    except EgressError as refusal:
        refused = str(refusal)

    assert refused == ""


@pytest.mark.parametrize(
    "host",
    ["*", "*.example.com", ".example.com", "com", "203.0.113.9", "API.example.com", "api.example.com.", "a_b.com", ""],
)
def test_anything_wider_than_a_full_name_is_refused(host: str) -> None:
    with pytest.raises(EgressError, match=r"full names such as api\.example\.com"):
        refuse_open_hosts(["api.example.com", host])


@pytest.mark.parametrize("hosts", [[], ["a.example.com"] * 2, [f"h{n}.example.com" for n in range(HOSTS_MAX + 1)]])
def test_number_of_hosts_is_bounded_and_none_stands_twice(hosts: list[str]) -> None:
    with pytest.raises(EgressError, match=f"1 to {HOSTS_MAX} different"):
        refuse_open_hosts(hosts)
