"""An allowance names who, where and on which port; what is wider cannot be written."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.cluster_layout import METADATA_ADDRESS, Room
from components.network_allowance import Peer, asks_for_names, cidrs, nothing, receives, require_narrow, sends

NETWORKS = st.builds(
    lambda address, length: str(ipaddress.IPv4Network((address, length), strict=False)),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)


@given(NETWORKS)
def test_b_8_no_network_that_is_accepted_is_wide_or_holds_the_metadata_service(cidr: str) -> None:
    network = ipaddress.IPv4Network(cidr)
    forbidden = network.prefixlen < 8 or ipaddress.IPv4Address(METADATA_ADDRESS) in network
    try:
        require_narrow(cidr)
    except ValueError:
        assert forbidden
    else:
        assert not forbidden


@given(st.lists(st.integers(1, 65535), min_size=1, max_size=5, unique=True))
def test_a_policy_opens_the_named_ports_in_the_named_direction_only(ports: list[int]) -> None:
    peer = cidrs(["10.0.0.0/16"])
    out, arriving = sends("x", peer, *ports).specification(), receives("x", peer, *ports).specification()

    assert out["policyTypes"] == ["Egress"]
    assert "ingress" not in out
    assert [port["port"] for port in out["egress"][0]["ports"]] == ports
    assert arriving["policyTypes"] == ["Ingress"]
    assert "egress" not in arriving


def test_nothing_selects_every_pod_and_allows_nothing() -> None:
    assert nothing() == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_names_are_asked_of_the_clusters_own_dns_alone() -> None:
    (rule,) = asks_for_names().specification()["egress"]
    (peer,) = rule["to"]

    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "kube-system"}
    assert peer["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"}
    assert {(port["protocol"], port["port"]) for port in rule["ports"]} == {("UDP", 53), ("TCP", 53)}


@pytest.mark.parametrize("peer", [{}, {"room": Room.MODELS, "cidrs": ("10.0.0.0/16",)}])
def test_a_peer_is_one_thing(peer: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="either pods of a room or networks"):
        Peer(**peer)  # type: ignore[arg-type]  # the wrong combinations
