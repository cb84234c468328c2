"""Remedies: what a pack may put right itself, where the user sets a policy's enforcement level to `remediate`.

A remedy changes properties in place and in nothing else: a copy of the properties would send secrets back in
clear. What is unknown or secret stays as it is, what is right already too, and so does what is exempted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from policy_packs.customer_key import is_customer_key
from policy_packs.resource_type import canonical_type
from policy_packs.tristate import Truth
from policy_packs.view import MISSING, View, plain

Properties = Any  # Pulumi's proxy, which has no public type: reads unwrap a secret, writes keep the rest as it is
Settings = Mapping[str, object]


def _anywhere(_holder: View) -> Truth:
    return Truth.YES


@dataclass(frozen=True, kw_only=True)
class Change:
    """One property's value: `wanted` reads it from the policy's settings, `is_right` says what stays.

    A `[]` in the path stands for every element of a list, `where` says in which of the objects that are found.
    """

    path: str
    wanted: Callable[[Settings], object]
    is_right: Callable[[View, Settings], Truth]
    where: Callable[[View], Truth] = _anywhere
    makes_objects: bool = False  # those that are missing on the way

    def apply(self, properties: Properties, settings: Settings) -> bool:
        """Whether anything was changed."""
        value = self.wanted(settings)
        if not value:
            return False
        *parents, name = self.path.split(".")
        holders = _holders(properties, parents, makes_objects=self.makes_objects)
        wrong = [one for one in holders if self._is_wrong(one, name, settings)]
        for holder in wrong:
            holder[name] = value
        return bool(wrong)

    def _is_wrong(self, holder: Properties, name: str, settings: Settings) -> bool:
        raw = _raw(holder, name)  # a secret, or what may hold one, is no plain value
        if not isinstance(raw, str | bool | int | float | None) or self.where(View(plain(holder))) is not Truth.YES:
            return False
        return self.is_right(View(MISSING if raw is None else plain(raw)), settings) is Truth.NO


def _raw(holder: Any, name: str | int) -> Any:  # Any: whatever stands there, a secret still wrapped
    held = holder["__target"]
    return held.get(name) if isinstance(held, Mapping) else held[name]


def _holders(properties: Any, path: list[str], *, makes_objects: bool) -> Iterator[Properties]:
    """The objects at the end of the path that are known and in clear."""
    if not path:
        yield properties
        return
    name, is_list = path[0].removesuffix("[]"), path[0].endswith("[]")
    if makes_objects and not is_list and _raw(properties, name) is None:
        properties[name] = {}
    if not isinstance(plain(_raw(properties, name)), list if is_list else dict):
        return
    for inner in _objects(properties[name]) if is_list else (properties[name],):
        yield from _holders(inner, path[1:], makes_objects=makes_objects)


def _objects(listed: Any) -> Iterator[Any]:
    for index in range(len(listed)):
        if isinstance(plain(_raw(listed, index)), dict):
            yield listed[index]


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """What puts some types of resources right; `settings` are those it asks for itself: name → default."""

    resource_types: tuple[str, ...]
    changes: tuple[Change, ...]
    settings: Settings = field(default_factory=dict)

    def is_for(self, resource_type: str) -> bool:
        return canonical_type(resource_type) in self.resource_types

    def apply(self, properties: Properties, settings: Settings) -> bool:
        changed = [one.apply(properties, {**self.settings, **settings}) for one in self.changes]
        return any(changed)


def _value(path: str, value: object) -> Change:
    return Change(
        path=path, wanted=lambda _: value, is_right=lambda given, _: given.equals(value), makes_objects="." in path
    )


_PERIODS_DAYS: Final = (365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)


def _minimum_days(settings: Settings) -> float:
    return float(str(settings["retention_days_min"]))


def _retention_days(settings: Settings) -> int | None:
    """A year, or the next of CloudWatch's periods that is long enough."""
    return next((days for days in _PERIODS_DAYS if days >= _minimum_days(settings)), None)


def _is_kept_long_enough(given: View, settings: Settings) -> Truth:
    return given.at_least(_minimum_days(settings))


def _is_under_kms(default: View) -> Truth:
    return default.at("sseAlgorithm").equals("aws:kms", "aws:kms:dsse")


def _own_key(path: str) -> Change:
    """The user's key where KMS encrypts under AWS's; S3's own keys stay, for some logs come under no other."""
    return Change(
        path=f"{path}.applyServerSideEncryptionByDefault.kmsMasterKeyId",
        wanted=lambda settings: settings["kms_key_arn"],
        is_right=lambda given, _: is_customer_key(given),
        where=_is_under_kms,
    )


_TOKENS: Final = _value("metadataOptions.httpTokens", "required")
_FOUR_BLOCKS: Final = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")

# By the name of the rule that each serves. A rule about one resource is remedied only where it is certainly broken.
REMEDIES: Final[Mapping[str, Remedy]] = {
    "ec2-launch-template-require-imdsv2": Remedy(
        resource_types=("aws:ec2/launchTemplate:LaunchTemplate",),
        changes=(_TOKENS, _value("metadataOptions.httpPutResponseHopLimit", 1)),
    ),
    "ec2-instance-require-imdsv2": Remedy(resource_types=("aws:ec2/instance:Instance",), changes=(_TOKENS,)),
    "cloudwatch-log-group-require-key-and-retention": Remedy(
        resource_types=("aws:cloudwatch/logGroup:LogGroup",),
        changes=(Change(path="retentionInDays", wanted=_retention_days, is_right=_is_kept_long_enough),),
    ),
    "s3-bucket-require-public-access-block": Remedy(
        resource_types=("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",),
        changes=tuple(_value(one, value=True) for one in _FOUR_BLOCKS),
    ),
    "s3-bucket-require-customer-key": Remedy(
        resource_types=(
            "aws:s3/bucket:Bucket",
            "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        ),
        changes=(_own_key("serverSideEncryptionConfiguration.rule"), _own_key("rules[]")),
        settings={"kms_key_arn": ""},
    ),
}
