"""A service account, and what it may ask of the Kubernetes API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster_layout import Room
from components.component import LateComponent
from components.manifest import Manifest, metadata


class ClusterAccountArgs(TypedDict):
    account: str
    room: Room
    cluster_rules: NotRequired[Sequence[Manifest]]
    room_rules: NotRequired[Mapping[Room, Sequence[Manifest]]]
    """By namespace; narrower than rules for the whole cluster."""


class ClusterAccount(LateComponent):
    """No token is mounted unless a pod asks for it; without rules the account may do nothing."""

    account: kubernetes.core.v1.ServiceAccount

    def __init__(self, name: str, args: ClusterAccountArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        self.account = kubernetes.core.v1.ServiceAccount(
            f"{name}-account",
            metadata=metadata(args["account"], args["room"]),
            automount_service_account_token=False,
            opts=self.child(),
        )
        if "cluster_rules" in args:
            self._in_the_cluster(name, args["cluster_rules"], args)
        for room, rules in args.get("room_rules", {}).items():
            self._in_a_room(name, room, rules, args)
        self.register_outputs({})

    def _in_the_cluster(self, name: str, rules: Sequence[Manifest], args: ClusterAccountArgs) -> None:
        role = kubernetes.rbac.v1.ClusterRole(
            f"{name}-role", metadata=metadata(args["account"]), rules=list(rules), opts=self.child()
        )
        kubernetes.rbac.v1.ClusterRoleBinding(
            f"{name}-binding",
            metadata=metadata(args["account"]),
            role_ref=_role("ClusterRole", args["account"]),
            subjects=[_subject(args)],
            opts=self.child(depends_on=[role]),
        )

    def _in_a_room(self, name: str, room: Room, rules: Sequence[Manifest], args: ClusterAccountArgs) -> None:
        role = kubernetes.rbac.v1.Role(
            f"{name}-{room.value}-role",
            metadata=metadata(args["account"], room),
            rules=list(rules),
            opts=self.child(),
        )
        kubernetes.rbac.v1.RoleBinding(
            f"{name}-{room.value}-binding",
            metadata=metadata(args["account"], room),
            role_ref=_role("Role", args["account"]),
            subjects=[_subject(args)],
            opts=self.child(depends_on=[role]),
        )


def rule(group: str, resources: Sequence[str], *verbs: str, names: Sequence[str] = ()) -> Manifest:
    """One rule of a role."""
    allowed = {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
    return {**allowed, "resourceNames": list(names)} if names else allowed


def _role(kind: str, name: str) -> Manifest:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}


def _subject(args: ClusterAccountArgs) -> Manifest:
    return {"kind": "ServiceAccount", "name": args["account"], "namespace": args["room"].value}
