"""Explicit provider resources, and what they settle: region, account, default tags."""

from __future__ import annotations

from collections.abc import Mapping

from stacks.local.engine_backend import ACCOUNT, REGION, Backend, Scope
from stacks.local.engine_graph import EngineError, Json
from stacks.local.engine_project import Project


class Providers:
    """Finds the settings that hold for a resource; refuses one that has no provider where it must."""

    def __init__(self, project: Project, backend: Backend) -> None:
        self._project = project
        self._backend = backend
        self._scopes: dict[str, Scope] = {}

    def add(self, urn: str, settings: Mapping[str, Json], source: str) -> None:
        scope = self._scope_of(settings, source)
        self._backend.configure(urn, settings, scope)
        self._scopes[urn] = scope

    def _scope_of(self, settings: Mapping[str, Json], source: str) -> Scope:
        allowed = [str(account) for account in settings.get("allowedAccountIds") or []]
        account = self._backend.account() or (allowed[0] if allowed else ACCOUNT)
        if allowed and account not in allowed:
            raise EngineError(
                f"{source}: allowedAccountIds is {', '.join(allowed)}, but the credentials belong to account {account}"
            )
        tags = (settings.get("defaultTags") or {}).get("tags") or {}
        return Scope(str(settings.get("region") or self._default_region()), account, dict(tags))

    def _default_region(self) -> str:
        return self._project.config.get("aws:region", REGION)

    def scope(self, token: str, reference: str, source: str, what: str) -> Scope:
        """The settings behind a provider reference (`<urn>::<id>`)."""
        if reference:
            urn = reference.rpartition("::")[0]
            if urn not in self._scopes:
                raise EngineError(f"{source}: {what} names the unknown provider {urn}")
            return self._scopes[urn]
        package = token.split(":", 1)[0]
        disabled = self._project.default_providers_disabled
        if package != "pulumi" and ("*" in disabled or package in disabled):
            raise EngineError(
                f"{source}: {what} ({token}) has no explicit provider, and default providers are disabled; "
                f"pass provider= or a parent that has one"
            )
        return Scope(region=self._default_region(), account=self._backend.account() or ACCOUNT)
