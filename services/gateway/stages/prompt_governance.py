"""Prompt governance: what a model may be shown of what the caller wrote.

In this order: (1) tools are held against the role's allow-list (2) credentials are cut out for good
(3) personal data gives way to placeholders (4) what remains is screened for prompt injection. Text in
which nothing is found goes on byte for byte. A detector that fails blocks the request: unscreened text
never counts as clean. Images go on as they are, for roles that may: nothing here sees what they show.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from hashlib import sha256

import msgspec

from services.gateway.exchange import (
    Admitted,
    Denied,
    Governed,
    Message,
    Parameters,
    Submission,
    Tool,
    ToolCall,
)
from services.gateway.ports import Detectors, PromptHash
from services.gateway.stages.placeholders import Vault
from services.gateway.stages.screening import found, instructs

REDACTED_CREDENTIAL = "[redacted credential]"


def govern(admitted: Admitted, detectors: Detectors, prompt_hash: PromptHash) -> Governed:
    """The governed prompt; Denied 400 when it may not be sent at all."""
    keep_values = admitted.submission.endpoint.generates
    desk = _Desk(detectors, Vault(partial(_written, admitted.submission)), keep_values=keep_values)
    _check_tool_names(admitted)
    tools = tuple(desk.tool(tool, admitted.role.tools[tool.name]) for tool in admitted.submission.tools)
    _check_parameters(admitted.submission.parameters, desk)
    messages = tuple(desk.message(message) for message in admitted.submission.messages)
    return Governed(
        admitted=admitted,
        messages=messages,
        placeholders=desk.vault.values,
        redactions=desk.redactions,
        prompt_hash=prompt_hash.digest(_canonical(messages, tools, desk.vault)),
        question=_question(messages, desk.vault),
        tools=tools,
    )


class _Desk:
    """Governs text after text of one request and keeps count."""

    def __init__(self, detectors: Detectors, vault: Vault, *, keep_values: bool) -> None:
        self._detectors = detectors
        self._keep_values = keep_values
        self._call_ids: dict[str, str] = {}
        self.vault = vault
        self.redactions: dict[str, int] = {}

    def message(self, message: Message) -> Message:
        text = self.text(message.text) if message.text else ""
        if not message.tool_calls and message.tool_call_id is None:
            return message if text == message.text else Message(message.role, text, images=message.images)
        calls = tuple(self._call(call) for call in message.tool_calls)
        answered = None if message.tool_call_id is None else self._call_id(message.tool_call_id)
        return Message(message.role, text, calls, answered)

    def tool(self, tool: Tool, schema: str) -> Tool:
        """What a tool's arguments look like is the registration's word, not the caller's."""
        return Tool(tool.name, self.text(tool.description) if tool.description else "", schema)

    def text(self, text: str) -> str:
        """`text` without credentials, with placeholders, and screened."""
        text = self._without_credentials(text)
        text = self._with_placeholders(text)
        self._screen(text)
        return text

    def refuse_secrets(self, param: str, text: str) -> None:
        """For text whose structure does not bear redaction: it is clean or it is refused."""
        if found(self._detectors.credentials, text) or found(self._detectors.personal_data, text):
            raise Denied(
                "prompt_governance",
                f"credential or personal data in {param}",
                status=400,
                code="content_filter",
                param=param,
                public=f"Remove credentials and personal data from '{param}'.",
            )
        self._screen(text)

    def _call(self, call: ToolCall) -> ToolCall:
        return ToolCall(self._call_id(call.id), call.name, self.text(call.arguments))

    def _call_id(self, call_id: str) -> str:
        """Call ids are numbered anew: they only pair calls with results, and could carry anything."""
        return self._call_ids.setdefault(call_id, f"call_{len(self._call_ids) + 1}")

    def _without_credentials(self, text: str) -> str:
        findings = found(self._detectors.credentials, text)
        for finding in reversed(findings):
            self._count("credential")
            text = text[: finding.start] + REDACTED_CREDENTIAL + text[finding.end :]
        return text

    def _with_placeholders(self, text: str) -> str:
        findings = found(self._detectors.personal_data, text)
        if not findings:
            return text
        parts: list[str] = []
        at = 0
        for finding in findings:
            self._count(finding.kind)
            parts += (text[at : finding.start], self._placeholder(finding.kind, text[finding.start : finding.end]))
            at = finding.end
        return "".join(parts) + text[at:]

    def _count(self, kind: str) -> None:
        self.redactions[kind] = self.redactions.get(kind, 0) + 1

    def _placeholder(self, kind: str, value: str) -> str:
        return self.vault.placeholder(kind, value) if self._keep_values else f"[{kind}]"

    def _screen(self, text: str) -> None:
        kind = instructs(self._detectors.prompt_injection, text)
        if kind is not None:
            raise Denied(
                "prompt_governance",
                f"prompt injection: {kind}",
                status=400,
                code="content_filter",
                param="messages",
                public="The request was refused by the content policy.",
            )


def _written(submission: Submission) -> list[str]:
    """Everything a placeholder's key must not be found in."""
    texts = [message.text for message in submission.messages]
    texts += [call.arguments for message in submission.messages for call in message.tool_calls]
    return texts + [tool.description for tool in submission.tools]


def _check_tool_names(admitted: Admitted) -> None:
    submission = admitted.submission
    for index, tool in enumerate(submission.tools):
        _require_allowed(admitted, tool.name, f"tools[{index}].function.name")
    for index, message in enumerate(submission.messages):
        for call in message.tool_calls:
            _require_allowed(admitted, call.name, f"messages[{index}].tool_calls")


def _require_allowed(admitted: Admitted, name: str, param: str) -> None:
    if name not in admitted.role.tools:
        raise Denied(
            "prompt_governance",
            f"a tool is not registered for role '{admitted.role.name}'",
            status=403,
            code="tool_not_allowed",
            type="permission_error",
            param=param,
            public="The tool is not registered for your role.",
        )


def _check_parameters(parameters: Parameters, desk: _Desk) -> None:
    if parameters.response_format is not None:
        desk.refuse_secrets("response_format", parameters.response_format)
    if parameters.tool_choice is not None:
        desk.refuse_secrets("tool_choice", parameters.tool_choice)
    if parameters.stop:
        desk.refuse_secrets("stop", "\n".join(parameters.stop))


def _canonical(messages: Iterable[Message], tools: Iterable[Tool], vault: Vault) -> bytes:
    """The masked prompt without the request's random key: the same prompt has the same hash tomorrow."""
    turns = [
        _turn(message) if message.tool_calls or message.images else [message.role, message.text, ()]
        for message in messages
    ]
    named = [[tool.name, tool.description] for tool in tools]
    canonical = msgspec.json.encode([turns, named])
    return vault.without_key(canonical.decode()).encode() if vault.values else canonical


def _turn(message: Message) -> list[object]:
    calls = [[call.name, call.arguments] for call in message.tool_calls]
    return [message.role, message.text, calls, *(sha256(image.base64.encode()).hexdigest() for image in message.images)]


def _question(messages: tuple[Message, ...], vault: Vault) -> str:
    for message in reversed(messages):
        if message.role == "user":
            return vault.without_key(message.text)
    return ""
