"""AWS Config: the recorder runs, and leaves nothing out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, Outcome, Severity, StackRule, demand
from policy_packs.satellite import any_satellite
from policy_packs.subject import needs
from policy_packs.view import View

RECORDER: Final = "aws:cfg/recorder:Recorder"
STATUS: Final = "aws:cfg/recorderStatus:RecorderStatus"


_NO_RECORDER: Final = "the stack has no recorder"


def _records_everything(stack: Stack) -> Iterator[Outcome]:
    yield from needs(stack.of_type(RECORDER), _NO_RECORDER)
    for recorder in stack.of_type(RECORDER):
        for name in ("allSupported", "includeGlobalResourceTypes"):
            wanted = recorder.at(f"recordingGroup.{name}")
            yield from demand(wanted.equals(True), "some resources are not recorded", wanted, recorder.urn)
        subject = View(None, f"recorder '{recorder.name}'")
        runs = any_satellite(stack, recorder, STATUS, "name", lambda one: one.at("isEnabled").equals(True))
        yield from demand(runs, "is never started", subject, recorder.urn)


def _recorder(**group: object) -> Resource:
    return Resource.example(RECORDER, {"name": "default", "recordingGroup": group}, "recorder")


def _status(name: str = "default", **props: object) -> Resource:
    return Resource.example(STATUS, {"name": name, **props}, "status")


RECORDS_EVERYTHING = StackRule(
    name="config-recorder-require-every-resource",
    description="A recorder of AWS Config runs, and records every type of resource, global ones too.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC7.1", "CC8.1"), iso27001_2022=("A.8.9", "A.5.9"), nist_800_53_r5=("CM-2", "CM-3", "CM-8")
    ),
    remediation="Set all_supported and include_global_resource_types, and add RecorderStatus with is_enabled=True.",
    checkov=("CKV2_AWS_45",),
    check=_records_everything,
    obeys={
        "every type, started": (_recorder(includeGlobalResourceTypes=True), _status(isEnabled=True)),
        "said in full": (
            _recorder(allSupported=True, includeGlobalResourceTypes=True),
            _status(isEnabled=True),
        ),
    },
    breaks={
        "some types": (
            _recorder(allSupported=False, includeGlobalResourceTypes=True),
            _status(isEnabled=True),
        ),
        "global types left out by default": (_recorder(), _status(isEnabled=True)),
        "never started": (_recorder(includeGlobalResourceTypes=True),),
        "stopped": (_recorder(includeGlobalResourceTypes=True), _status(isEnabled=False)),
        "not started by default": (_recorder(includeGlobalResourceTypes=True), _status()),
        "another recorder is started": (_recorder(includeGlobalResourceTypes=True), _status("other", isEnabled=True)),
    },
    neighbours={"a recorder of another stack": (_status(isEnabled=False),)},
)
