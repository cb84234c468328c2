"""Who can reach whom as a picture: a self-contained SVG, tiers as columns, arrows with their ports.

Every party has a row of its own, so an arrow runs along its source's row without crossing a box, turns in the
gap beside the target's column and enters the target from there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from stacks.local.reachability.network import Network
from stacks.local.reachability.paths import INTERNET
from stacks.local.reachability.summary import Place, Summary, columns, summary
from stacks.local.reachability.traffic import Traffic

_BOX_WIDTH, _BOX_HEIGHT, _GAP_WIDTH, _ROW_HEIGHT = 148, 66, 104, 80
_LEFT, _TOP, _TURN_STEP, _ENTRY_STEP = 16, 88, 12, 16
_PORTS_NAMED_MAX = 2
_STYLE = """
  svg { font: 13px system-ui, sans-serif; }
  .page { fill: #ffffff; } text { fill: #1f2328; } .quiet { fill: #59636e; }
  .column { fill: #f6f8fa; } .box { fill: #ffffff; stroke: #59636e; }
  .arrow { fill: none; stroke: #0969da; stroke-width: 1.6; } .head { fill: #0969da; }
  .port { font-size: 12px; paint-order: stroke; stroke: #ffffff; stroke-width: 3px; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; } text { fill: #e6edf3; } .quiet { fill: #9198a1; }
    .column { fill: #151b23; } .box { fill: #0d1117; stroke: #9198a1; }
    .arrow { stroke: #58a6ff; } .head { fill: #58a6ff; } .port { stroke: #0d1117; }
  }
"""


@dataclass(frozen=True)
class _Box:
    column: int
    row: int

    @property
    def x(self) -> int:
        return _LEFT + self.column * (_BOX_WIDTH + _GAP_WIDTH)

    @property
    def y(self) -> int:
        return _TOP + self.row * _ROW_HEIGHT

    @property
    def middle(self) -> int:
        return self.y + _BOX_HEIGHT // 2


def drawing(network: Network, title: str) -> str:
    found = summary(network)
    places = sorted({place for pair in found for place in pair})
    shown = [name for name in columns(network) if name != INTERNET or any(place.tier == INTERNET for place in places)]
    boxes = _boxes(places, shown)
    width = 2 * _LEFT + len(shown) * (_BOX_WIDTH + _GAP_WIDTH) - _GAP_WIDTH
    height = _TOP + len(boxes) * _ROW_HEIGHT
    parts = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="head" d="M0 0 8 4 0 8z"/></marker></defs>',
        f'<rect class="page" width="{width}" height="{height}"/>',
        f'<text x="{_LEFT}" y="26" font-size="16" font-weight="600">{escape(title)}</text>',
        *(_column(number, name, height) for number, name in enumerate(shown)),
        *_arrows(found, boxes),
        *(_named_box(place, box) for place, box in boxes.items()),
        "</svg>",
    )
    return "\n".join(parts) + "\n"


def _boxes(places: Sequence[Place], shown: Sequence[str]) -> dict[Place, _Box]:
    """Each place in the column of its tier and in a row of its own."""
    ordered = sorted(places, key=lambda place: (shown.index(place.tier), place.name))
    return {place: _Box(shown.index(place.tier), row) for row, place in enumerate(ordered)}


def _column(number: int, name: str, height: int) -> str:
    x = _Box(number, 0).x
    return (
        f'<rect class="column" x="{x - 8}" y="44" width="{_BOX_WIDTH + 16}" height="{height - 52}" rx="8"/>'
        f'<text class="quiet" x="{x + _BOX_WIDTH // 2}" y="66" text-anchor="middle">{escape(name)}</text>'
    )


def _named_box(place: Place, box: _Box) -> str:
    return (
        f'<rect class="box" x="{box.x}" y="{box.y}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="6"/>'
        f'<text x="{box.x + _BOX_WIDTH // 2}" y="{box.middle + 5}" text-anchor="middle">{escape(place.name)}</text>'
    )


def _arrows(found: Summary, boxes: dict[Place, _Box]) -> Iterator[str]:
    """The n-th arrow into a box enters it a little lower and turns a little further out."""
    entered: defaultdict[tuple[Place, bool], int] = defaultdict(int)
    turned: defaultdict[tuple[int, bool], int] = defaultdict(int)
    for (source, target), traffic in found.items():
        start, end = boxes[source], boxes[target]
        from_left = start.column < end.column
        entry, turn = entered[target, from_left], turned[end.column, from_left]
        entered[target, from_left] += 1
        turned[end.column, from_left] += 1
        yield _arrow(start, end, traffic, entry, turn)


def _label(traffic: Traffic) -> str:
    """Few ports by number, many by their count: the table has them all."""
    if len(traffic.ranges) <= _PORTS_NAMED_MAX:
        return str(traffic)
    return f"{sum(high - low + 1 for low, high in traffic.ranges)} ports"


def _arrow(start: _Box, end: _Box, traffic: Traffic, entry: int, turn: int) -> str:
    rightward = 1 if start.column < end.column else -1
    out = start.x if start.column > end.column else start.x + _BOX_WIDTH
    into = end.x if rightward == 1 else end.x + _BOX_WIDTH
    bend = into - rightward * (_GAP_WIDTH - 16 - _TURN_STEP * (turn % 4))
    y = end.y + 9 + _ENTRY_STEP * (entry % 4)
    label = into - rightward * 26
    return (
        f'<path class="arrow" marker-end="url(#head)" d="M{out} {start.middle}H{bend}V{y}H{into}"/>'
        f'<text class="port" x="{label}" y="{y - 4}" text-anchor="middle">{escape(_label(traffic))}</text>'
    )
