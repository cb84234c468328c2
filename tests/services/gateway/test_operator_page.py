"""The operator page: today's figures from real records, escaped whatever they say, readable in a real browser."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser

import aiohttp
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec import structs

from services.gateway.adapters.audit_verifications import Verified
from services.gateway.adapters.operator_figures import (
    Chain,
    OperatorFigures,
    Refused,
    Tail,
    Today,
    Use,
    operator_figures,
)
from services.gateway.exchange import Unavailable
from services.gateway.metrics import Metrics
from services.gateway.operations_server import operations
from services.gateway.operator_page import STYLE, Chains, OperatorPage, page
from services.gateway.readiness import Readiness, State
from tests.services.gateway.audit.written import Written
from tests.services.gateway.browser import Browser, browser
from tests.services.gateway.real_parts import Postgres, settings
from tests.services.gateway.serving import serving

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
READY = State({"database": "ready", "limits": "ready"}, draining=False)
CHAINS = Chains(("0c6b7f3e-0000-4000-8000-000000000000", 41), 0.4)
ALICE, BOB = "alice@example.org", "bob@example.org"


def use(name: str, usd: str = "0.5", requests: int = 3) -> Use:
    return Use(name, requests, 1_200, 340, Decimal(usd))


def today(**changes: object) -> Today:
    figures = Today(
        total=use("", "12.5", 9),
        workloads=(use("document-assistant", "12.25"), use("report", "0.25")),
        models=(use("local", "12.5"),),
        users=(use("0a1b2c3d4e5f", "12.5"),),
        refusals=(Refused("budget", "insufficient_quota", 429, 4), Refused("identity", "invalid_api_key", 401, 1)),
        chains=(Chain("0c6b7f3e-0000-4000-8000-000000000000", NOW, NOW, 44, closed=False),),
        tail=Tail(44, holds=True),
        complete=True,
        verified=Verified(NOW - timedelta(hours=30), holds=True, records=51_234),
    )
    return replace(figures, **changes)  # type: ignore[arg-type]  # fields by name


class Seen(HTMLParser):
    """Elements and text of a page, and whether every element is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


# --- what it says -------------------------------------------------------------------------------------------


def test_it_tells_use_spend_refusals_chain_and_parts() -> None:
    text = " ".join(Seen(page("dev", NOW, READY, today(), CHAINS)).text)
    for said in (
        "Gateway dev",
        "✓ ready",
        "$12.50",
        "document-assistant",
        "0a1b2c3d4e5f",
        "insufficient_quota",
        "429",
        "41 records of chain 0c6b7f3e-0000-4000-8000-000000000000",
        "✓ 0.4 s",
        "✓ hold",
        "2026-02-28 06:00:00 UTC, 51,234 records",
        "✓ all held",
        "gateway audit verify",
    ):
        assert said in text


def test_what_is_wrong_is_said_in_words_and_not_by_colour_alone() -> None:
    state = State({"database": "ready", "limits": "not ready: limits"}, draining=False)
    figures = today(tail=Tail(200, holds=False), complete=False, verified=Verified(NOW, holds=False, records=3))
    text = " ".join(Seen(page("dev", NOW, state, figures, Chains(None, 31.0))).text)
    for said in (
        "✗ not ready",
        "✗ not ready: limits",
        "✗ do not hold",
        "✗ did not hold",
        "✗ 31.0 s",
        "✗ this gateway has sealed",
        "too small",
    ):
        assert said in text


def test_without_a_database_it_says_so_and_still_tells_the_rest() -> None:
    seen = Seen(page("dev", NOW, READY, "database", CHAINS))
    text = " ".join(seen.text)
    assert "✗ database does not answer" in text
    assert "Audit chain" in text
    assert "$" not in text


def test_nothing_used_is_a_page_too() -> None:
    nothing = Today(use("", "0", 0), (), (), (), (), (), None, complete=True)
    text = " ".join(Seen(page("dev", NOW, READY, nothing, CHAINS)).text)
    assert "None." in text
    assert re.search("Last verification of all, against the signed heads: +✗ never", text)


# --- whatever a name says, it is text -----------------------------------------------------------------------

_PLAIN = Seen(page("dev", NOW, READY, today(), CHAINS))


@hypothesis_settings(deadline=None)
@given(
    st.one_of(
        st.text(max_size=60),
        st.sampled_from(
            ["</td><script>alert(1)</script>", '" onload="x', "]]>", "&lt;", "\u202eevil", "<!--", "'\"><img src=x>"]
        ),
    )
)
def test_no_name_adds_an_element_or_an_attribute(name: str) -> None:
    figures = today(
        workloads=(use(name), use("report")),
        models=(use(name),),
        users=(use(name),),
        refusals=(Refused(name, name, 429, 4), Refused("identity", name, 401, 1)),
        chains=(Chain(name, NOW, NOW, 44, closed=False),),
    )
    state = State({name: name, "": "ready"}, draining=False)
    seen = Seen(page(name, NOW, state, figures, Chains((name, 41), 0.4)))
    assert seen.elements == _PLAIN.elements if name else True
    assert seen.attributes == _PLAIN.attributes
    assert seen.open == []
    assert "\u202e" not in "".join(seen.text)
    shown = "".join(char if char.isprintable() else "�" for char in name)
    assert shown in "".join(seen.text)


def test_it_holds_no_script_no_style_attribute_and_nothing_from_elsewhere() -> None:
    text = page("dev", NOW, READY, today(), CHAINS)
    assert not {"script", "img", "iframe", "form", "object", "style", "svg"} & set(_PLAIN.elements)
    assert not {name for name in _PLAIN.attributes if name.startswith("on") or name in ("style", "src")}
    assert "http" not in text + STYLE
    assert "url(" not in STYLE
    assert "@import" not in STYLE


# --- where the figures come from ----------------------------------------------------------------------------


@pytest.fixture
async def figures(
    postgres: Postgres, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[OperatorFigures]:
    monkeypatch.setenv("GATEWAY_DATABASE_PASSWORD", "not asked for by this server")
    reading = operator_figures(settings(postgres.port, database_name))
    yield reading
    await reading.close()


async def stored(postgres: Postgres, database_name: str, chain: Written) -> None:
    connection = await postgres.superuser(database_name)
    try:
        await connection.execute("INSERT INTO audit.chain (chain, opened_at) VALUES ($1, $2)", chain.chain, chain.now)
        await connection.executemany(
            "INSERT INTO audit.record (chain, seq, kind, request_id, record, hash) VALUES ($1, $2, $3, $4, $5, $6)",
            [(chain.chain, one.seq, one.kind, one.request_id, one.record, one.hash) for one in chain.rows],
        )
    finally:
        await connection.close()


def outcome(subject: str, usd: str, workload: str = "assistant", model: str = "local") -> dict[str, str | int]:
    who = {"issuer": "https://identity.example", "subject": subject, "workload": workload, "model": model}
    return {**who, "usd": usd, "input_tokens": 10, "output_tokens": 2}


def refusal(stage: str, code: str, status: int) -> dict[str, str | int]:
    return {"stage": stage, "code": code, "status": status, "reason": "my salary"}


async def today_lasts() -> datetime:
    """Now, once the day has a minute left: what is written today is read today."""
    while (now := datetime.now(UTC)).hour == 23 and now.minute == 59:  # noqa: ASYNC110 - time sets no event
        await asyncio.sleep(0.2)
    return now


def a_day(now: datetime) -> Written:
    chain = Written(now=now)
    chain.append("genesis", body={"software": "sha256:0"})
    for number, body in enumerate(
        [outcome(ALICE, "0.25"), outcome(ALICE, "0.5"), outcome(BOB, "0.125", "report", "nova")]
    ):
        chain.append("intent", f"r-{number}", {"model": "local"})
        chain.append("outcome", f"r-{number}", body)
    for number, code in enumerate(("rate_limit_exceeded", "rate_limit_exceeded", "insufficient_quota"), start=9):
        chain.append("refusal", f"r-{number}", refusal("limits", code, 429))
    return chain


async def test_todays_figures_are_those_of_the_records(
    postgres: Postgres, database_name: str, figures: OperatorFigures
) -> None:
    chain = a_day(await today_lasts())
    await stored(postgres, database_name, chain)
    told = await figures.today(str(chain.chain))
    assert (told.total.requests, told.total.usd, told.total.input_tokens) == (3, Decimal("0.875"), 30)
    assert [(one.name, one.usd) for one in told.workloads] == [
        ("assistant", Decimal("0.75")),
        ("report", Decimal("0.125")),
    ]
    assert [(one.name, one.requests) for one in told.models] == [("local", 2), ("nova", 1)]
    assert [(one.code, one.requests) for one in told.refusals] == [
        ("rate_limit_exceeded", 2),
        ("insufficient_quota", 1),
    ]
    assert [(one.id, one.records) for one in told.chains] == [(str(chain.chain), 10)]
    assert told.tail == Tail(10, holds=True)
    assert told.complete


async def test_a_user_is_a_digest_and_never_a_name(
    postgres: Postgres, database_name: str, figures: OperatorFigures
) -> None:
    await stored(postgres, database_name, a_day(await today_lasts()))
    told = await figures.today("")
    digest = hashlib.sha256(f"https://identity.example|{ALICE}".encode()).hexdigest()[:12]
    assert next((one.name, one.usd) for one in told.users) == (digest, Decimal("0.75"))
    shown = page("dev", NOW, READY, told, CHAINS)
    assert digest in shown
    for word in (ALICE, BOB, "alice", "my salary"):
        assert word not in shown


async def test_yesterday_does_not_count(postgres: Postgres, database_name: str, figures: OperatorFigures) -> None:
    await stored(postgres, database_name, a_day(datetime.now(UTC) - timedelta(days=1)))
    told = await figures.today("")
    assert (told.total.requests, told.workloads, told.refusals, told.chains) == (0, (), (), ())


async def test_a_changed_record_at_the_chains_end_is_noticed(
    postgres: Postgres, database_name: str, figures: OperatorFigures
) -> None:
    chain = a_day(await today_lasts())
    chain.rows[4] = structs.replace(chain.rows[4], record=chain.rows[4].record.replace('"0.5"', '"0.1"'))
    await stored(postgres, database_name, chain)
    told = await figures.today(str(chain.chain))
    assert told.tail == Tail(10, holds=False)


async def test_a_removed_record_at_the_chains_end_is_noticed(
    postgres: Postgres, database_name: str, figures: OperatorFigures
) -> None:
    chain = a_day(await today_lasts())
    del chain.rows[4]
    await stored(postgres, database_name, chain)
    told = await figures.today(str(chain.chain))
    assert told.tail is not None
    assert not told.tail.holds


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit.record SET kind = 'x'",
        "DELETE FROM audit.record",
        "INSERT INTO audit.chain (chain) VALUES (gen_random_uuid())",
        "UPDATE ledger.budget SET spent = 0",
        "SELECT ledger.sweep(interval '1 hour')",
        "INSERT INTO audit.record SELECT gen_random_uuid(), 0, 'x', '', '{}', decode(repeat('00', 32), 'hex')",
        "CREATE TEMPORARY TABLE x (y int)",
    ],
)
async def test_whoever_reads_for_the_page_can_change_nothing(figures: OperatorFigures, change: str) -> None:
    with pytest.raises(Unavailable, match=r"ReadOnlySQLTransactionError|InsufficientPrivilegeError"):
        async with figures.reading() as connection:
            await connection.execute(change)


async def test_many_who_look_at_once_are_one_reading(
    postgres: Postgres, database_name: str, figures: OperatorFigures
) -> None:
    await stored(postgres, database_name, a_day(await today_lasts()))
    told = await asyncio.gather(*(figures.today("") for _ in range(30)))
    assert len({id(one) for one in told}) == 1


# --- in a real browser --------------------------------------------------------------------------------------

needs_browser = pytest.mark.skipif(
    shutil.which("chromium-headless-shell") is None, reason="no chromium-headless-shell on PATH (a Debian package)"
)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async def figures(_: str) -> Today:
        hostile = "</td><script>document.title='owned'</script>"
        return today(workloads=(use(hostile, "9"), use("report", "1")))

    async def ready() -> None:
        return

    readiness = Readiness({"database": ready, "limits": ready})
    shown = OperatorPage("dev", readiness, figures, lambda: CHAINS)
    app = operations(readiness, Metrics(), [("/", shown.page), ("/style.css", shown.style)])
    async with serving(app) as base:
        yield base


async def test_the_page_and_its_style_are_served_under_a_strict_policy(url: str) -> None:
    async with aiohttp.ClientSession() as http:
        for path, kind in (("/", "text/html; charset=utf-8"), ("/style.css", "text/css; charset=utf-8")):
            async with http.get(f"{url}{path}") as response:
                assert response.status == 200
                assert response.headers["content-type"] == kind
                policy = response.headers["content-security-policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert "script-src" not in policy


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
async def test_a_browser_shows_it_readable_at_any_width_in_light_and_dark(url: str, scheme: str, width: int) -> None:
    async with browser() as chromium:
        await chromium.open(url, width=width, scheme=scheme)
        assert await chromium.value("document.title") == "Gateway dev: ready"
        assert await chromium.value("document.querySelectorAll('script').length") == 0
        assert "<script>" in str(await chromium.value("document.body.innerText"))
        # nothing is cut off, at no width
        assert await chromium.value("document.documentElement.scrollWidth <= window.innerWidth")
        assert await chromium.value(
            "[...document.querySelectorAll('td')].every(c => c.scrollWidth <= c.clientWidth + 1)"
        )
        assert float(str(await chromium.value(LEAST_CONTRAST))) >= 4.5  # WCAG 2.2, 1.4.3
        background = await chromium.value("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(20, 23, 26)" if scheme == "dark" else "rgb(255, 255, 255)")
        assert chromium.problems == []


@needs_browser
async def test_a_browser_finds_headings_labels_and_a_language(url: str) -> None:
    async with browser() as chromium:
        await chromium.open(url, width=1280, scheme="light")
        roles = await accessible(chromium)
        assert next(name for role, name in roles if role == "heading").startswith("Gateway dev")
        assert {"main", "banner", "table", "columnheader", "link"} <= {role for role, _ in roles}
        assert all(name for role, name in roles if role in ("link", "heading", "columnheader", "meter"))
        assert await chromium.value("document.documentElement.lang") == "en"


@needs_browser
async def test_a_script_would_not_run_even_if_one_got_in(url: str) -> None:
    async with browser() as chromium:
        await chromium.open(url, width=1280, scheme="light")
        added = "document.body.innerHTML += '<img src=x onerror=\"document.title=1\">'; 'done'"
        assert await chromium.value(added) == "done"
        script = "s = document.createElement('script'); s.textContent = 'document.title=1'; document.body.append(s)"
        await chromium.value(f"{script}; 'done'")
        async with asyncio.timeout(60):
            while not any("Content Security Policy" in problem for problem in chromium.problems):
                await asyncio.sleep(0.2)
                assert await chromium.value("document.title") == "Gateway dev: ready"
        await asyncio.sleep(0.2)
        assert await chromium.value("document.title") == "Gateway dev: ready"


async def accessible(chromium: Browser) -> list[tuple[str, str]]:
    """Role and name of everything a screen reader is told."""
    tree = await chromium.call("Accessibility.getFullAXTree")
    return [
        (node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree["nodes"] if not node["ignored"]
    ]


# The least contrast between a text and what is behind it, over all texts of the page.
LEAST_CONTRAST = """(() => {
  const rgb = c => c.match(/[0-9.]+/g).map(Number);
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = c => { const [r, g, b] = rgb(c).map(v => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (rgb(c).length === 3 || rgb(c)[3] > 0) return c; } return 'rgb(255, 255, 255)'; };
  const texts = [...document.querySelectorAll('body *')].filter(e => e.tagName !== 'METER' &&
    [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
  return Math.min(...texts.map(e => { const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); }));
})()"""


async def test_refusals_that_share_a_record_are_all_counted(
    postgres: Postgres, database_name: str, figures: OperatorFigures
) -> None:
    chain = a_day(await today_lasts())
    chain.append("refusal", "r-20", {**refusal("identity", "invalid_token", 401), "count": 1_990})
    chain.append("refusal", "r-21", refusal("identity", "invalid_token", 401))
    await stored(postgres, database_name, chain)
    told = await figures.today(str(chain.chain))
    assert (told.refusals[0].code, told.refusals[0].requests) == ("invalid_token", 1_991)
