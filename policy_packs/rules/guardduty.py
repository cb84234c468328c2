"""GuardDuty: the detector watches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, demand

DETECTOR: Final = "aws:guardduty/detector:Detector"


def _watches(detector: Resource) -> Iterator[Outcome]:
    enabled = detector.at("enable")
    yield from demand(enabled.equals(True), "the detector is suspended", enabled)


DETECTOR_ENABLED = Rule(
    name="guardduty-detector-disallow-suspended",
    description="No detector is suspended.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC7.1", "CC7.2"), iso27001_2022=("A.8.16",), nist_800_53_r5=("SI-4",), atlas=("AML.M0024",)
    ),
    remediation="Leave enable out, or set it to True.",
    checkov=("CKV_AWS_238",),
    resource_types=(DETECTOR,),
    check=_watches,
    obeys={
        "left out, and AWS's default is on": Resource.example(DETECTOR, {"tags": {}}),
        "on": Resource.example(DETECTOR, {"enable": True}),
    },
    breaks={"suspended": Resource.example(DETECTOR, {"enable": False})},
    neighbours={
        "a feature of a detector that costs extra": Resource.example(
            "aws:guardduty/detectorFeature:DetectorFeature", {"status": "DISABLED"}
        )
    },
)
