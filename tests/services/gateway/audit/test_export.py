"""An export holds every record of its range and filter, word for word, and says how much it holds."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta

import pytest

from services.gateway.adapters.audit_chain import AuditChain
from services.gateway.audit.record import parse
from services.gateway.audit_export import Wanted, export
from services.gateway.command import main
from services.gateway.exchange import AuditRecord
from services.gateway.settings import Settings
from tests.services.gateway.real_parts import settings as settings_of

WHO = {"ada": "acme", "ben": "acme", "cleo": "globex"}


@pytest.fixture
async def between(chain: AuditChain) -> tuple[datetime, datetime]:
    """When the records of three users were written."""
    began = datetime.now(UTC)
    for number, (subject, tenant) in enumerate(WHO.items()):
        body = {"subject": subject, "tenant": tenant}
        await chain.append(AuditRecord("intent", f"r{number}", body))
        await chain.append(AuditRecord("outcome", f"r{number}", body))
    await chain.close()
    return began, datetime.now(UTC)


async def exported(settings: Settings, wanted: Wanted) -> tuple[list[str], dict[str, object]]:
    out = io.StringIO()
    assert await asyncio.to_thread(export, settings, wanted, out) == 0, out.getvalue()
    *records, manifest = out.getvalue().splitlines()
    return records, json.loads(manifest)["manifest"]


def subjects(records: list[str]) -> set[object]:
    return {parse(record).body.get("subject") for record in records}


async def test_an_export_holds_its_records_word_for_word(
    gateway_settings: Settings, between: tuple[datetime, datetime]
) -> None:
    records, manifest = await exported(gateway_settings, Wanted(*between))
    text = "".join(f"{record}\n" for record in records)
    assert subjects(records) >= set(WHO)
    assert manifest["records"] == len(records)
    assert manifest["sha256"] == hashlib.sha256(text.encode()).hexdigest()


async def test_one_user_or_tenant_and_nobody_else(
    gateway_settings: Settings, between: tuple[datetime, datetime]
) -> None:
    of_ben, _ = await exported(gateway_settings, Wanted(*between, subject="ben"))
    of_acme, _ = await exported(gateway_settings, Wanted(*between, tenant="acme"))
    of_none, manifest = await exported(gateway_settings, Wanted(*between, tenant="globex", subject="ben"))
    assert subjects(of_ben) == {"ben"}
    assert len(of_ben) == 2
    assert subjects(of_acme) == {"ada", "ben"}
    assert (of_none, manifest["records"]) == ([], 0)


async def test_what_was_written_outside_the_range_stays_out(
    gateway_settings: Settings, between: tuple[datetime, datetime]
) -> None:
    day = timedelta(days=1)
    before, _ = await exported(gateway_settings, Wanted(between[0] - day, between[0]))
    after, _ = await exported(gateway_settings, Wanted(between[1], between[1] + day))
    assert not subjects(before) & set(WHO)
    assert not subjects(after) & set(WHO)


def test_without_a_store_there_is_no_manifest() -> None:
    out = io.StringIO()
    now = datetime.now(UTC)
    assert export(settings_of(1, "nowhere"), Wanted(now, now), out) == 1
    assert out.getvalue().startswith("FAILED could not export")
    assert "manifest" not in out.getvalue()


@pytest.mark.parametrize("time", ["yesterday", "2026-01-31T00:00:00"])
def test_a_time_without_its_zone_is_refused(time: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["audit", "export", "--since", time, "--until", "2026-02-01T00:00:00Z"])
    assert stopped.value.code == 2
    assert "--since" in capsys.readouterr().err
