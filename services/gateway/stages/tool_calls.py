"""Which of a model's tool calls may leave: offered, allowed to the role, with arguments as registered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from services.gateway.exchange import Grounded, ToolCall
from services.gateway.ports import Detectors
from services.gateway.stages.json_schema import mismatch
from services.gateway.stages.own_values import OwnValues
from services.gateway.stages.placeholders import restore
from services.gateway.stages.screening import found


def without_cut(calls: Sequence[ToolCall]) -> Sequence[ToolCall]:
    """The calls of an answer that met its limit: one whose arguments end in the middle is none, and none is refused."""
    return calls[:-1] if _read(calls[-1].arguments) is None else calls


class ToolCalls:
    """Judges the calls of one answer; `masked` and `refused` count for the audit record."""

    def __init__(self, grounded: Grounded, detectors: Detectors) -> None:
        self._governed = grounded.governed
        self._schemas = {tool.name: tool.parameters for tool in grounded.governed.tools}
        self._detectors = detectors
        self._own = OwnValues(grounded)
        self.masked: Counter[str] = Counter()
        self.refused = 0

    def allowed(self, calls: Sequence[ToolCall]) -> list[ToolCall]:
        """The calls that may leave, with the caller's own values."""
        checked = [self._checked(call) for call in calls]
        passed = [call for call in checked if call is not None]
        self.refused = len(checked) - len(passed)
        if self._governed.admitted.submission.parameters.parallel_tool_calls is False:
            return passed[:1]
        return passed

    def _checked(self, call: ToolCall) -> ToolCall | None:
        schema = self._schemas.get(call.name)
        if schema is None or call.name not in self._governed.admitted.role.tools:
            return None
        # Written anew before it is searched: no escape and no second spelling of a key survives that.
        plain = _rewritten(call.arguments)
        if plain is None or found(self._detectors.credentials, plain):
            return None
        arguments = restore(self._masked(plain), self._governed.placeholders, in_json=True)
        value = _read(arguments)
        if not isinstance(value, dict) or mismatch(value, _read(schema)) is not None:
            return None
        return ToolCall(call.id, call.name, arguments)

    def _masked(self, text: str) -> str:
        for finding in reversed(found(self._detectors.personal_data, text)):
            if not self._own.holds(text[finding.start : finding.end]):
                self.masked[finding.kind] += 1
                text = f"{text[: finding.start]}[{finding.kind}]{text[finding.end :]}"
        return text


def _rewritten(arguments: str) -> str | None:
    value = _read(arguments)
    return msgspec.json.encode(value).decode() if isinstance(value, dict) else None


def _read(text: str) -> object:
    """The value of a JSON text; None when it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return None
