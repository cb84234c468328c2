"""A set of protocols and ports, as ranges on one line: TCP ports, then UDP ports, then other protocols."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

PORTS: Final = 65_536
_UDP_START: Final = PORTS
_OTHERS_START: Final = 2 * PORTS
_END: Final = _OTHERS_START + 256
_NUMBERS: Final = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}

Range = tuple[int, int]


@dataclass(frozen=True)
class Traffic:
    """Disjoint, sorted, inclusive ranges."""

    ranges: tuple[Range, ...] = ()

    @classmethod
    def of(cls, protocol: str, first: int | None = None, last: int | None = None) -> Traffic:
        """What a rule of AWS names: `-1` is everything; ports count for tcp and udp only."""
        number = _number(protocol)
        if number is None:
            return EVERYTHING
        if number not in (_NUMBERS["tcp"], _NUMBERS["udp"]):
            return cls(((_OTHERS_START + number, _OTHERS_START + number),))
        start = 0 if number == _NUMBERS["tcp"] else _UDP_START
        low = 0 if first is None or first < 0 else first
        high = PORTS - 1 if last is None or last < 0 else last
        if not low <= high < PORTS:
            raise ValueError(f"ports must be 0 to 65535, the first not above the last (got {first} to {last})")
        return cls(((start + low, start + high),))

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __contains__(self, point: int) -> bool:
        return any(low <= point <= high for low, high in self.ranges)

    def __and__(self, other: Traffic) -> Traffic:
        pairs = ((max(a, c), min(b, d)) for a, b in self.ranges for c, d in other.ranges)
        return Traffic(_tidy(pair for pair in pairs if pair[0] <= pair[1]))

    def __or__(self, other: Traffic) -> Traffic:
        return Traffic(_tidy((*self.ranges, *other.ranges)))

    def __sub__(self, other: Traffic) -> Traffic:
        return self & other.complement

    @property
    def complement(self) -> Traffic:
        starts = [0, *(high + 1 for _, high in self.ranges)]
        ends = [*(low - 1 for low, _ in self.ranges), _END - 1]
        return Traffic(tuple((low, high) for low, high in zip(starts, ends, strict=True) if low <= high))

    def __str__(self) -> str:
        if self == EVERYTHING:
            return "everything"
        return ", ".join(_names(self)) or "none"


def _number(protocol: str) -> int | None:
    """The protocol's number; None for all of them."""
    name = protocol.lower()
    if name in ("-1", "all"):
        return None
    if name in _NUMBERS:
        return _NUMBERS[name]
    if name.isdecimal() and int(name) < 256:
        return int(name)
    raise ValueError(f"protocol must be -1, tcp, udp, icmp, icmpv6 or a number below 256 (got {protocol!r})")


def _tidy(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Sorted, with ranges that touch made one."""
    tidy: list[Range] = []
    for low, high in sorted(ranges):
        if tidy and low <= tidy[-1][1] + 1:
            tidy[-1] = (tidy[-1][0], max(high, tidy[-1][1]))
        else:
            tidy.append((low, high))
    return tuple(tidy)


def _names(traffic: Traffic) -> Iterable[str]:
    for name, band in (("", TCP), ("udp ", UDP), ("protocol ", OTHERS)):
        start = band.ranges[0][0]
        for low, high in (traffic & band).ranges:
            yield name + (str(low - start) if low == high else f"{low - start}-{high - start}")


EVERYTHING: Final = Traffic(((0, _END - 1),))
TCP: Final = Traffic(((0, PORTS - 1),))
UDP: Final = Traffic(((_UDP_START, _OTHERS_START - 1),))
OTHERS: Final = Traffic(((_OTHERS_START, _END - 1),))
NOTHING: Final = Traffic()
