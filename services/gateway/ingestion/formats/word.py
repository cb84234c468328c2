"""Word documents (docx)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

from docx import Document
from docx.document import Document as WordDocument
from docx.oxml.ns import qn
from docx.table import Table
from docx.text.paragraph import Paragraph

from services.gateway.ingestion.formats import OFFICE_ENCRYPTED
from services.gateway.ingestion.rejection import Reason, Rejected

UNPACKED_BYTES_MAX = 100 << 20
PACKED_FILES_MAX = 5_000


def read_docx(content: bytes) -> str:
    """Paragraphs and tables in their order, without hidden text."""
    if content.startswith(OFFICE_ENCRYPTED):
        raise Rejected(Reason.ENCRYPTED)
    if not content.startswith(b"PK"):
        raise Rejected(Reason.UNKNOWN_TYPE)
    _check_archive(content)
    return "\n".join(_lines(Document(io.BytesIO(content)))).strip()


def _check_archive(content: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if any(entry.flag_bits & 1 for entry in entries):
            raise Rejected(Reason.ENCRYPTED)
        if "word/document.xml" not in archive.namelist():
            raise Rejected(Reason.UNKNOWN_TYPE)
        # zipfile never unpacks more than an entry declares, so the declared sizes can be relied upon.
        if len(entries) > PACKED_FILES_MAX or sum(entry.file_size for entry in entries) > UNPACKED_BYTES_MAX:
            raise Rejected(Reason.TOO_MUCH_INSIDE)


def _lines(document: WordDocument) -> Iterator[str]:
    for block in document.iter_inner_content():
        if isinstance(block, Table):
            yield from _rows(block)
        else:
            yield _shown(block) + "\n"


def _rows(table: Table) -> Iterator[str]:
    for row in table.rows:
        cells = ("\n".join(_shown(paragraph) for paragraph in cell.paragraphs) for cell in row.cells)
        yield "\t".join(cells)
    yield ""


def _shown(paragraph: Paragraph) -> str:
    """Runs and links of a paragraph, except hidden ones (w:vanish)."""
    parts: list[str] = []
    for run in paragraph._p.iter(qn("w:r")):
        properties = run.find(qn("w:rPr"))
        vanish = None if properties is None else properties.find(qn("w:vanish"))
        if vanish is None or vanish.get(qn("w:val")) in ("0", "false"):
            parts.append(run.text)
    return "".join(parts)
