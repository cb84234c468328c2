"""The operator page: what was used and refused today, what it cost, whether the parts and the audit chain stand.

One page of HTML made here, with a style sheet and nothing else: no script, no picture, nothing from elsewhere.
Text is escaped where elements are made; there is no other way into the page.
"""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from starlette.responses import Response

from services.gateway.adapters.audit_verifications import Verified
from services.gateway.adapters.operator_figures import RECORDS_MAX, Refused, Today, Use
from services.gateway.exchange import Denied
from services.gateway.readiness import READY, Readiness, State

STYLE = (Path(__file__).parent / "operator_page.css").read_text(encoding="utf-8")
LAG_S_MAX = 10  # as the sealer's own bound: beyond it the gateway refuses


class Html(str):
    """Text that is HTML already. Only `element` makes it."""

    __slots__ = ()


Child = str | Html


@dataclass(frozen=True, slots=True)
class Chains:
    """What this process knows of its own chain. `sealed`: its id and how many records a signed head covers."""

    sealed: tuple[str, int] | None
    lag_s: float


class OperatorPage:
    """Makes the page anew for everyone who looks."""

    def __init__(
        self,
        environment: str,
        readiness: Readiness,
        today: Callable[[str], Awaitable[Today]],
        chains: Callable[[], Chains],
        left_alone: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """`left_alone` names the models whose upstream has been failing."""
        self._environment = environment
        self._readiness = readiness
        self._today = today
        self._chains = chains
        self._left_alone = left_alone

    async def page(self, _: str) -> Response:
        state, chains = await self._readiness.state(), self._chains()
        try:
            today: Today | str = await self._today(chains.sealed[0] if chains.sealed else "")
        except Denied as denied:
            today = denied.stage
        shown = page(self._environment, datetime.now(UTC), state, today, chains, self._left_alone())
        return Response(shown, media_type="text/html")

    async def style(self, _: str) -> Response:
        return Response(STYLE, media_type="text/css")


def element(name: str, /, *children: Child, **attributes: str) -> Html:
    """An HTML element. A child that is no Html is text. `class_` stands for class, `_` for a hyphen."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"' for key, value in attributes.items()
    )
    inner = "".join(child if isinstance(child, Html) else _text(child) for child in children)
    return Html(f"<{name}{written}>{inner}</{name}>")


def _text(text: str) -> str:
    """Escaped; what no screen shows, or what turns the direction of what follows, is shown as a mark."""
    return html.escape("".join(char if char.isprintable() else "�" for char in text))


def _void(name: str, /, **attributes: str) -> Html:
    """An element that has no end."""
    return Html(element(name, **attributes).removesuffix(f"</{name}>"))


def page(
    environment: str,
    at: datetime,
    state: State,
    today: Today | str,
    chains: Chains,
    left_alone: Sequence[str] = (),
) -> str:
    """`today` is the name of the part that did not answer where there are no figures."""
    head = element(
        "head",
        _void("meta", charset="utf-8"),
        _void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        _void("meta", name="color-scheme", content="light dark"),
        element("title", f"Gateway {environment}: {state.status}"),
        _void("link", rel="stylesheet", href="/style.css"),
    )
    title = element(
        "header",
        element("h1", f"Gateway {environment} ", _mark(state.status, good=state.ready)),
        element("p", f"{at:%Y-%m-%d %H:%M:%S} UTC. Days begin at midnight UTC. ", element("a", "Look again", href="/")),
    )
    sections = [_use(today), _chain(today, chains), _parts(state, left_alone), _refusals(today)]
    if not isinstance(today, str):
        sections += [_table_of("workload", today.workloads), _table_of("model", today.models)]
        sections.append(_table_of("user", today.users, "Users are digests of issuer and subject."))
    body = element("body", title, element("main", *sections))
    return f"<!doctype html>{element('html', head, body, lang='en')}"


def _use(today: Today | str) -> Html:
    if isinstance(today, str):
        return _section("Today", element("p", "No figures: ", _mark(f"{today} does not answer", good=False)))
    total = today.total
    cards = [
        ("Spent", _usd(total.usd)),
        ("Requests answered", f"{total.requests:,}"),
        ("Refused", f"{sum(one.requests for one in today.refusals):,}"),
        ("Input tokens", f"{total.input_tokens:,}"),
        ("Output tokens", f"{total.output_tokens:,}"),
    ]
    children = [element("dl", *(element("div", element("dt", what), element("dd", value)) for what, value in cards))]
    if not today.complete:
        note = (
            f"A chain is longer than {RECORDS_MAX:,} records: only its last ones are counted, the sums are too small."
        )
        children.append(element("p", note, class_="bad"))
    return _section("Today", *children)


def _chain(today: Today | str, chains: Chains) -> Html:
    lag = f"{chains.lag_s:.1f} s"
    said: list[Child] = [
        element("li", "Oldest record under no signed head: ", _mark(lag, good=chains.lag_s <= LAG_S_MAX)),
    ]
    if chains.sealed is None:
        said.insert(0, element("li", _mark("this gateway has sealed nothing yet", good=False)))
    else:
        said.insert(0, element("li", f"Last sealed: {chains.sealed[1]:,} records of chain {chains.sealed[0]}"))
    if not isinstance(today, str) and today.tail is not None:
        verdict = "hold" if today.tail.holds else "do not hold"
        checked = f"hashes, links and numbers of the last {today.tail.records:,} records "
        said.append(element("li", f"Checked now: {checked}", _mark(verdict, good=today.tail.holds)))
    if not isinstance(today, str):
        said.append(element("li", "Last verification of all, against the signed heads: ", *_verified(today.verified)))
    said.append(element("li", "To verify again: ", element("code", "gateway audit verify")))
    children: list[Child] = [element("ul", *said)]
    if not isinstance(today, str):
        rows = [
            (one.id, f"{one.records:,}", f"{one.last_at.astimezone(UTC):%H:%M:%S}", "closed" if one.closed else "open")
            for one in today.chains
        ]
        children.append(_table(("Chain written to today", "Records", "Last record", "State"), rows))
    return _section("Audit chain", *children)


def _verified(last: Verified | None) -> Sequence[Child]:
    if last is None:
        return [_mark("never", good=False)]
    verdict = "all held" if last.holds else "did not hold"
    found = f"{last.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, {last.records:,} records "
    return [found, _mark(verdict, good=last.holds)]


def _parts(state: State, left_alone: Sequence[str]) -> Html:
    """A model's upstream is none of the parts without which nobody is answered: it is told while it fails."""
    rows = [(name, _mark(said, good=said == READY)) for name, said in state.parts.items()]
    rows += [(f"upstream of {model}", _mark("left alone after failures", good=False)) for model in left_alone]
    return _section("Parts", _table(("Part", "State"), rows))


def _refusals(today: Today | str) -> Html:
    refused: Sequence[Refused] = () if isinstance(today, str) else today.refusals
    rows = [(one.code, one.stage, str(one.status), f"{one.requests:,}") for one in refused]
    return _section("Refusals by reason", _table(("Reason", "Stage", "Status", "Requests"), rows))


def _table_of(kind: str, used: Sequence[Use], note: str = "") -> Html:
    most = max((one.usd for one in used), default=Decimal(0))
    rows = [
        (
            one.name,
            _usd(one.usd),
            element("meter", _usd(one.usd), min="0", max="1", value=_share(one.usd, most), aria_label=_usd(one.usd)),
            f"{one.requests:,}",
            f"{one.input_tokens:,}",
            f"{one.output_tokens:,}",
        )
        for one in used
    ]
    columns = (kind.capitalize(), "Spent", "Share", "Requests", "Input tokens", "Output tokens")
    return _section(f"By {kind}", _table(columns, rows), *([element("p", note)] if note else []))


def _section(title: str, *children: Child) -> Html:
    return element("section", element("h2", title), *children)


def _table(columns: Sequence[str], rows: Iterable[Sequence[Child]]) -> Html:
    """A table that keeps each cell's column beside it, so that a narrow screen can stack them."""
    lines = [element("tr", *(_cell(column, cell) for column, cell in zip(columns, row, strict=True))) for row in rows]
    if not lines:
        return element("p", "None.")
    head = element("tr", *(element("th", column, scope="col") for column in columns))
    return element("table", element("thead", head), element("tbody", *lines))


def _cell(column: str, cell: Child) -> Html:
    return element("td", cell, data_column=column)


def _mark(text: str, *, good: bool) -> Html:
    """A state, by word and sign and not by colour alone."""
    return element("strong", f"{'✓' if good else '✗'} {text}", class_="good" if good else "bad")


def _usd(usd: Decimal) -> str:
    return f"${usd:,.4f}" if usd < 1 else f"${usd:,.2f}"


def _share(usd: Decimal, most: Decimal) -> str:
    return f"{usd / most:.4f}" if most else "0"
