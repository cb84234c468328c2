"""A workload's configuration, templates, tools and registration document."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from components.workload_registration import digest
from services.gateway.adapters.registration_document import Document
from stacks.configuration import ConfigurationError
from stacks.workloads.registration import Deployed, WorkloadFiles, read_tool, registration_document
from stacks.workloads.template import read_template
from stacks.workloads.workload import Workload, require_offered
from tests.stacks.configurations import ENVIRONMENTS, WORKLOAD, changed, workload_values

DEPLOYED = Deployed("arn:aws:kms:us-east-1:123456789012:key/1", "bucket", "https://queue", "https://dead")


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_the_document_assistant_loads_in_every_environment(stack: str) -> None:
    workload = Workload.load(workload_values(stack))

    assert ("load" in workload.roles) is (stack == "local")


REFUSED: dict[str, tuple[str, Any, str]] = {
    "a boundary looser than the class": ("boundary", "public_api", "looser than data class confidential"),
    "a class misspelt": ("data_class", "confidental", "'confidential'"),
    "a key wider than the class": ("key_tier", "platform", "allowed: workload, tenant"),
    "a name too long for its bucket": ("name", "a-very-long-name-of-a-workload", "2 to 23"),
    "no tenants": ("tenants", [], "must not be empty"),
    "a tenant with a slash": ("tenants.0", "acme/x", "a-z, 0-9 and -"),
    "no roles": ("roles", {}, "must not be empty"),
    "a role without models": ("roles.analyst.models", [], "at least one model"),
    "a free limit": ("roles.analyst.limits.requests_per_minute", 0, "greater than or equal to 1"),
    "a budget as a number of cents": ("roles.analyst.budget.usd_per_day_user", "5.001", "US dollars"),
    "an unknown limit": ("roles.analyst.limits.request_per_minute", 1, "unknown field (allowed: concurrent"),
    "a load role outside local": ("roles.load", None, "for environment local only"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_wrong_wish_is_refused(what: str) -> None:
    field, value, allowed = REFUSED[what]
    values = workload_values("prod")
    value = values["roles"]["analyst"] if field == "roles.load" else value

    with pytest.raises(ConfigurationError) as refusal:
        Workload.load(changed(values, {field: value}))

    assert allowed in str(refusal.value)


SHARED = {
    "requests_per_minute": 5,
    "input_tokens_per_minute": 6,
    "output_tokens_per_minute": 7,
    "concurrent_requests_max": 8,
}


def document_of(**wishes: Any) -> dict[str, Any]:
    workload = Workload.load(changed(workload_values("prod"), wishes))
    found: dict[str, Any] = json.loads(
        registration_document(workload, WorkloadFiles.read(WORKLOAD, workload), DEPLOYED)
    )
    return found


def test_what_came_later_is_written_only_where_it_says_something() -> None:
    assert not {"limits", "serial", "not_after"} & set(document_of())
    assert set(document_of()["roles"]["analyst"]["budget"]) == {"usd_per_day_user", "usd_per_day_workload"}


def test_the_gateway_reads_every_limit_and_budget_that_a_workload_wishes() -> None:
    budget = {
        "usd_per_day_user": "1",
        "usd_per_day_workload": "2",
        "usd_per_day_tenant": "3",
        "usd_per_month_user": "4",
        "usd_per_month_tenant": "5",
        "usd_per_month_workload": "6.50",
    }
    wishes = {
        "limits": {"tenant": SHARED, "workload": SHARED},
        "serial": 3,
        "not_after": "2999-01-01T00:00:00Z",
        "roles.analyst.budget": budget,
    }
    text = json.dumps(document_of(**wishes)).encode()
    read = msgspec.json.decode(text, type=Document)
    assert msgspec.to_builtins(read.limits) == {"tenant": SHARED, "workload": SHARED}
    assert msgspec.to_builtins(read.roles["analyst"].budget) == budget
    assert (read.serial, read.not_after) == (3, datetime(2999, 1, 1, tzinfo=UTC))


def test_images_are_for_the_role_that_says_so_and_for_no_other() -> None:
    document = document_of(**{"roles.analyst.images": True})
    roles = msgspec.convert(document, Document).roles

    assert [name for name, role in roles.items() if role.images] == ["analyst"]
    assert "images" not in document_of()["roles"]["analyst"]


def test_only_what_the_platform_offers_can_be_registered() -> None:
    workload = Workload.load(workload_values("prod"))
    offered = {"nova-lite": "private_endpoint", "cheap": "public_api"}
    require_offered(workload, ["confidential"], offered)

    with pytest.raises(ConfigurationError, match="data_class: confidential is not held in prod"):
        require_offered(workload, ["public"], offered)
    with pytest.raises(ConfigurationError, match=r"roles.analyst.models: nova-lite is not offered .*allowed: none"):
        require_offered(workload, ["confidential"], {"nova-lite": "public_api"})


def test_the_registration_names_templates_by_digest_and_says_everything_the_gateway_reads() -> None:
    workload = Workload.load(workload_values("local"))
    files = WorkloadFiles.read(WORKLOAD, workload)

    document = json.loads(registration_document(workload, files, DEPLOYED))

    template = document["roles"]["analyst"]["template"]
    assert template["digest"] == digest((WORKLOAD / "answer.toml").read_text(encoding="utf-8"))
    assert template["key"] == f"templates/document-assistant/{template['digest'].removeprefix('sha256:')}.toml"
    assert document["claims"] == {"workload": "document-assistant"}
    assert document["tenants"] == ["acme", "globex"]
    assert document["roles"]["support"]["tools"]["open_ticket"]["additionalProperties"] is False
    assert document["roles"]["load"]["limits"]["requests_per_minute"] * 60 >= 100_000
    assert set(document) == {
        *("version", "workload", "environment", "data_class", "boundary"),
        *("claims", "tenants", "key_arn", "documents", "roles"),
    }


def test_one_document_has_one_text() -> None:
    workload = Workload.load(workload_values("dev"))
    files = WorkloadFiles.read(WORKLOAD, workload)
    backwards = dict(reversed(list(workload_values("dev").items())))

    same = registration_document(Workload.load(backwards), files, DEPLOYED)

    assert registration_document(workload, files, DEPLOYED) == same


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ('id="x"\nversion="1"\ncitations=true\nsystem="{secrets}"', "may use {context}, {today} only"),
        ('id="x"\nversion="1"\ncitations=true\nsystem=" "', "must not be empty"),
        ('id="y"\nversion="1"\ncitations=true\nsystem="s"', "id must be the file's name x"),
        ('id="x"\nversion="1"\nsystem="s"', "citations: required"),
        ('id="x"\nversion="1"\ncitations=true\nsystem="s"\nmodel="m"', "unknown field"),
    ],
)
def test_a_wrong_template_is_refused(tmp_path: Path, text: str, allowed: str) -> None:
    (tmp_path / "x.toml").write_text(text, encoding="utf-8")

    with pytest.raises(ConfigurationError) as refusal:
        read_template(tmp_path, "x")

    assert allowed in str(refusal.value)


def test_a_missing_file_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no missing.toml \(allowed: answer, load, support\)"):
        read_template(WORKLOAD, "missing")
    with pytest.raises(ConfigurationError, match=r"no missing.json \(allowed: open_ticket\)"):
        read_tool(WORKLOAD / "tools", "missing")
    (tmp_path / "loose.json").write_text('{"type": "object"}', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="additionalProperties"):
        read_tool(tmp_path, "loose")
