"""Text of txt, md, html, pdf and docx documents: what a reader would see, and nothing hidden from him.

Hidden text is where instructions to a model are put, so comments, scripts and elements that are not displayed
are left out. A module a format, so that a process that reads one document loads one parser.
"""

from __future__ import annotations

OFFICE_ENCRYPTED = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # an OLE file: how Office stores encrypted documents
BINARY = (b"%PDF-", b"PK\x03\x04", OFFICE_ENCRYPTED, b"\x7fELF", b"\x89PNG", b"\xff\xd8\xff", b"GIF8")
