"""Authorization in Cedar: which caller may use which model with which data class. Implements Authorization.

Policies and schema are files of the image, validated when the gateway starts: a policy that does not fit
the schema, or no policy at all, stops it, and a deployment keeps the tasks that run. Nothing loads policies
later. Only an explicit permit without any forbid and without any evaluation error passes.
Decisions are remembered by everything they rest on.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import cedarpy

from services.gateway.exchange import Boundary, Caller, DataClass, Denied, Endpoint, ModelOffer, Registration, Role

FOLDER = Path(__file__).parent / "policies"
DECISIONS_MAX = 10_000

_BOUNDARY = {boundary: rank for rank, boundary in enumerate(Boundary)}
_DATA_CLASS = {data_class: rank for rank, data_class in enumerate(DataClass)}
_Key = tuple[str, str, str, Endpoint, str, str, Boundary]


class PolicyError(Exception):
    """The policies are not valid; the gateway must not start."""


class CedarAuthorization:
    """Decides with the policies of one folder."""

    def __init__(self, folder: Path = FOLDER) -> None:
        schema = (folder / "gateway.cedarschema").read_text()
        policies = "\n".join(path.read_text() for path in sorted(folder.glob("*.cedar")))
        if not policies.strip():
            raise PolicyError(f"there is no policy in {folder.name}: nobody could do anything")
        result = cedarpy.validate_policies(policies, schema)
        if not result.validation_passed:
            raise PolicyError("; ".join(str(error) for error in result.errors))
        self._policies = cedarpy.PolicySet.from_str(policies)
        self._schema = cedarpy.Schema.from_str(schema)
        self.digest = _digest(schema, policies)
        self._reasons: dict[_Key, str] = {}

    def authorize(
        self, caller: Caller, registration: Registration, role: Role, endpoint: Endpoint, model: ModelOffer
    ) -> None:
        """Returns when a policy permits and none forbids; Denied 403 otherwise."""
        # The digest covers the registration's roles, models, tenants, data class and boundary.
        key = (registration.digest, role.name, caller.tenant, endpoint, model.id, model.kind, model.boundary)
        reason = self._reasons.get(key)
        if reason is None:
            reason = self._decide(caller, registration, role, endpoint, model)
            if len(self._reasons) >= DECISIONS_MAX:
                self._reasons.clear()
            self._reasons[key] = reason
        if reason:
            raise Denied(
                "authorization",
                reason,
                status=403,
                code="permission_denied",
                type="permission_error",
                public="You may not use this model with your role.",
            )

    def _decide(
        self, caller: Caller, registration: Registration, role: Role, endpoint: Endpoint, model: ModelOffer
    ) -> str:
        """Why not; empty when it is permitted."""
        # Callers are told apart by nothing that the key does not hold, so any id will do.
        principal = {"type": "Caller", "id": "caller"}
        resource = {"type": "Model", "id": model.id}
        request = {
            "principal": principal,
            "action": {"type": "Action", "id": endpoint.value},
            "resource": resource,
            "context": {
                "workload": registration.workload,
                "data_class": _DATA_CLASS[registration.data_class],
                "boundary": _BOUNDARY[registration.boundary],
                "models": list(role.models),
                "model": model.id,
                "tenants": list(registration.tenants),
            },
        }
        role_entity = {"type": "Role", "id": role.name}
        entities: list[dict[str, object]] = [
            {"uid": role_entity, "attrs": {}, "parents": []},
            {"uid": principal, "attrs": {"tenant": caller.tenant}, "parents": [role_entity]},
            {"uid": resource, "attrs": {"kind": model.kind, "boundary": _BOUNDARY[model.boundary]}, "parents": []},
        ]
        result = cedarpy.is_authorized(request, self._policies, entities, self._schema)
        if result.allowed and not result.diagnostics.errors:
            return ""
        return f"cedar: {', '.join(_names(result)) or 'no policy permits'}"


def _digest(schema: str, policies: str) -> str:
    """sha256:<64 hex> of the schema and the policies as they are in force, each with its length before it."""
    texts = (text.encode() for text in (schema, policies))
    return f"sha256:{sha256(b''.join(b'%d:%s' % (len(text), text) for text in texts)).hexdigest()}"


def _names(result: cedarpy.AuthzResult) -> list[str]:
    """The ids of the policies that decided, and the fact that one could not be evaluated."""
    names = [str(name) for name in result.diagnostics.id_annotations_by_reason.values()]
    return [*names, "evaluation failed"] if result.diagnostics.errors else names
