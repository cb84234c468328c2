"""PDF files. Weak: text that is drawn invisibly is read too, because scanned documents use it for good reason."""

from __future__ import annotations

import io

from pypdf import PdfReader

from services.gateway.ingestion.rejection import Reason, Rejected

PAGES_MAX = 1_000


def read_pdf(content: bytes) -> str:
    """The text of all pages, a page a paragraph."""
    if b"%PDF-" not in content[:1024]:
        raise Rejected(Reason.UNKNOWN_TYPE)
    reader = PdfReader(io.BytesIO(content))
    if reader.is_encrypted:
        raise Rejected(Reason.ENCRYPTED)
    if len(reader.pages) > PAGES_MAX:
        raise Rejected(Reason.TOO_MANY_PAGES)
    return "\n\n".join(page.extract_text() for page in reader.pages).strip()
