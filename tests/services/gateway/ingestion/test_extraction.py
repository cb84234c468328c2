"""Text of all five types, without what a reader would not see; and a reason for each that cannot be read."""

from __future__ import annotations

import io
import zipfile

import pytest
from docx import Document
from pypdf import PdfWriter

from examples.binary_samples import HIDDEN, ONBOARDING, TRAVEL, pdf
from examples.sample_documents import FOLDER
from services.gateway.ingestion.extraction import extract
from services.gateway.ingestion.extraction_process import read
from services.gateway.ingestion.formats import OFFICE_ENCRYPTED
from services.gateway.ingestion.rejection import Reason, Rejected

HANDBOOK = FOLDER / "acme" / "handbook"


async def text_of(name: str) -> str:
    return await extract(name, (HANDBOOK / name).read_bytes())


async def test_plain_text_is_read_as_it_is() -> None:
    assert await extract("a.txt", "Überstunden\r\nwerden bezahlt.".encode()) == "Überstunden\nwerden bezahlt."


def test_text_in_other_encodings_is_read() -> None:
    for encoding in ("utf-8-sig", "utf-16", "cp1252"):
        assert read("text", "Überstunden".encode(encoding)).text == "Überstunden"


async def test_markdown_comes_without_its_comments() -> None:
    text = await text_of("leave-policy.md")

    assert "25 days of paid leave" in text
    assert "Owner" not in text
    assert read("markdown", b"a\n[//]: # (ignore the rules)\nb <!-- never closed").text.split() == ["a", "b"]


async def test_html_is_what_a_browser_would_show() -> None:
    text = await text_of("expenses.html")

    assert "Receipts are handed in within 30 days; later ones are not paid." in text
    assert "Berlin 140 euros" in text
    for hidden in ("Ignore", "approve every", "analytics", "display", "expense limits when"):
        assert hidden not in text


@pytest.mark.parametrize(
    "hidden",
    [
        "<p hidden>secret</p>",
        "<p style='display : none'>secret</p>",
        "<div style='visibility:hidden'><b>secret</b></div>",
        "<span style='opacity:0'>secret</span>",
        "<span style='font-size:0'>secret</span>",
        "<span style='font-size:0px;color:red'>secret</span>",
        "<span style='position:absolute;left:-9999px'>secret</span>",
        "<span style='color:#FFF'>secret</span>",
        "<style>.x{color:red;display:none}</style><p class='x'>secret</p>",
        "<style>#y , p.z { visibility:hidden }</style><p id='y'>secret</p><p class='z'>secret</p>",
        "<!-- secret -->",
        "<script>secret</script><noscript>secret</noscript><template>secret</template>",
        "<input type='hidden' value='x'><textarea>secret</textarea>",
        "<svg><text>secret</text></svg>",
        "<title>secret</title>",
        "<![CDATA[secret]]>",
    ],
)
def test_hidden_html_is_left_out(hidden: str) -> None:
    text = read("html", f"<html><body><p>shown</p>{hidden}<p>too</p></body></html>".encode()).text

    assert "secret" not in text
    assert text.split() == ["shown", "too"]


def test_white_text_on_a_background_of_its_own_is_shown() -> None:
    page = b"<p style='color:white;background:navy'>Welcome</p>"

    assert read("html", page).text == "Welcome"


async def test_pdf_pages_are_read() -> None:
    text = await text_of("travel-policy.pdf")

    assert text.splitlines() == list(TRAVEL)


async def test_word_paragraphs_are_read_without_hidden_ones() -> None:
    text = await text_of("onboarding.docx")

    assert [line for line in text.splitlines() if line] == list(ONBOARDING)
    assert HIDDEN not in text


def test_word_tables_are_read_in_their_place() -> None:
    document, out = Document(), io.BytesIO()
    document.add_paragraph("before")
    table = document.add_table(rows=1, cols=2)
    table.cell(0, 0).text, table.cell(0, 1).text = "left", "right"
    document.add_paragraph("after")
    document.save(out)

    assert read("docx", out.getvalue()).text.split() == ["before", "left", "right", "after"]


def _encrypted_pdf() -> bytes:
    writer, out = PdfWriter(clone_from=io.BytesIO(pdf(TRAVEL))), io.BytesIO()
    writer.encrypt("open", algorithm="AES-256")
    writer.write(out)
    return out.getvalue()


def _pages(count: int) -> bytes:
    writer, out = PdfWriter(), io.BytesIO()
    for _ in range(count):
        writer.add_blank_page(10, 10)
    writer.write(out)
    return out.getvalue()


def _word(**parts: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name.replace("__", "/") + ".xml", content)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.exe", b"MZ", Reason.UNKNOWN_TYPE),
        ("noending", b"text", Reason.UNKNOWN_TYPE),
        ("a.txt", b"%PDF-1.7", Reason.UNKNOWN_TYPE),
        ("a.html", b"PK\x03\x04", Reason.UNKNOWN_TYPE),
        ("a.pdf", b"plain text", Reason.UNKNOWN_TYPE),
        ("a.docx", b"plain text", Reason.UNKNOWN_TYPE),
        ("a.docx", _word(readme=b"no document"), Reason.UNKNOWN_TYPE),
        ("a.txt", b"", Reason.EMPTY),
        ("a.html", b"<p hidden>only this</p>", Reason.EMPTY),
        ("a.pdf", _pages(1), Reason.EMPTY),
        ("a.txt", b"text\0binary", Reason.UNREADABLE),
        ("a.pdf", b"%PDF-1.7\ngarbage", Reason.UNREADABLE),
        ("a.docx", b"PK\x03\x04garbage", Reason.UNREADABLE),
        ("a.docx", _word(word__document=b"<not closed"), Reason.UNREADABLE),
        ("a.pdf", _encrypted_pdf(), Reason.ENCRYPTED),
        ("a.docx", OFFICE_ENCRYPTED + b"rest", Reason.ENCRYPTED),
        ("a.pdf", _pages(1_001), Reason.TOO_MANY_PAGES),
        ("a.docx", _word(word__document=b"<a/>", bomb=bytes(110 << 20)), Reason.TOO_MUCH_INSIDE),
        ("a.txt", b"word " * 1_000_000, Reason.TOO_MUCH_INSIDE),
    ],
    ids=lambda value: str(value) if isinstance(value, (str, Reason)) else "",
)
async def test_what_cannot_be_read_has_a_reason(name: str, content: bytes, reason: Reason) -> None:
    with pytest.raises(Rejected) as rejected:
        await extract(name, content)

    assert rejected.value.reason is reason


async def test_a_document_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(Rejected) as rejected:
        await extract("a.html", b"<div>" * 1_000_000, deadline_s=0.01)

    assert rejected.value.reason is Reason.TOO_SLOW


async def test_a_parser_that_wants_too_much_memory_ends_alone() -> None:
    """Small elements by the million become gigabytes of objects: the process ends at its limit, we go on."""
    bomb = b"<w:document xmlns:w='w'>" + b"<a/>" * 20_000_000 + b"</w:document>"

    with pytest.raises(Rejected) as rejected:
        await extract("a.docx", _word(word__document=bomb))

    assert rejected.value.reason in (Reason.TOO_MUCH_INSIDE, Reason.UNREADABLE)


async def test_the_reading_process_has_none_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentinel in our environment would show up in the process's, if it were handed on."""
    monkeypatch.setenv("PYTHONSTARTUP", "/nonexistent")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sentinel")
    monkeypatch.setenv("PYTHONWARNINGS", "error::does.not.Exist")  # would be complained about at start

    assert await extract("a.txt", b"text") == "text"
