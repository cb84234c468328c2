"""Text of txt, md, html, pdf and docx documents: what a reader would see, and nothing hidden from him.

Hidden text is where instructions to a model are put, so comments, scripts and elements that are not displayed
are left out. Weak: text hidden by position, by the colour of its surroundings or by an external style sheet,
and invisible text of PDF files (which scanned documents use for good reason), is read as if it were seen.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

import re2
from bs4 import BeautifulSoup, Comment, Tag
from bs4.element import Declaration, Doctype, ProcessingInstruction
from docx import Document
from docx.document import Document as WordDocument
from docx.oxml.ns import qn
from docx.table import Table
from docx.text.paragraph import Paragraph
from pypdf import PdfReader

from services.gateway.ingestion.rejection import Reason, Rejected

PAGES_MAX = 1_000
UNPACKED_BYTES_MAX = 200 << 20
PACKED_FILES_MAX = 5_000
OFFICE_ENCRYPTED = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # an OLE file: how Office stores encrypted documents
BINARY = (b"%PDF-", b"PK\x03\x04", OFFICE_ENCRYPTED, b"\x7fELF", b"\x89PNG", b"\xff\xd8\xff", b"GIF8")

# --- plain text --------------------------------------------------------------------------------------


def read_text(content: bytes) -> str:
    """UTF-8, UTF-16 with a mark, or the Windows code page; Rejected when it is no text at all."""
    if content.startswith(BINARY):
        raise Rejected(Reason.UNKNOWN_TYPE)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = content.decode("utf-16")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("cp1252")
    if "\0" in text:
        raise Rejected(Reason.UNREADABLE)
    return text.replace("\r\n", "\n").replace("\r", "\n")


_MARKDOWN_COMMENT = re2.compile(r"(?m)^\[(?://|comment|_metadata_:[^\]]*)\]:\s.*$")


def read_markdown(content: bytes) -> str:
    """Markdown as it is written, without the comments that are not displayed."""
    return str(_MARKDOWN_COMMENT.sub("", _without_comments(read_text(content))))


def _without_comments(text: str) -> str:
    kept, position = [], 0
    while (start := text.find("<!--", position)) >= 0:
        kept.append(text[position:start])
        end = text.find("-->", start)
        position = len(text) if end < 0 else end + 3
    return "".join(kept) + text[position:]


# --- HTML --------------------------------------------------------------------------------------------

_NEVER_SHOWN = ("script", "style", "noscript", "template", "iframe", "object", "embed", "svg", "head", "textarea",
                "select", "option", "datalist", "canvas", "audio", "video", "dialog")  # fmt: skip
_BLOCKS = ("p", "div", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article", "table", "ul", "ol",
           "blockquote", "pre", "dt", "dd", "figcaption", "header", "footer", "main", "aside", "nav",
           "details")  # fmt: skip
_HIDING_STYLE = re2.compile(
    r"(?i)display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|opacity\s*:\s*0(?:\.0+)?\s*(?:;|!|$)"
    r"|font-size\s*:\s*0(?:\.\d+)?(?:px|pt|em|rem|%)?\s*(?:;|!|$)|text-indent\s*:\s*-\d{3,}|(?:left|top)\s*:\s*-\d{3,}"
    r"|clip\s*:\s*rect\(0|clip-path\s*:\s*inset\((?:50|100)%|(?:^|[;\s])(?:max-)?(?:width|height)\s*:\s*0(?:px)?\s*(?:;|!|$)"
)
_WHITE = re2.compile(r"(?i)(?:^|[;\s])color\s*:\s*(?:transparent|white|#fff(?:fff)?|rgba?\(\s*255\s*,\s*255\s*,\s*255)")
_STYLE_RULE = re2.compile(r"([^{}]+)\{([^{}]*)\}")
_SIMPLE_SELECTOR = re2.compile(r"^[a-zA-Z]*(?:[.#][A-Za-z_][\w-]*)?$")
_LINES = re2.compile(r"[ \t]*\n[ \t\n]*\n[ \t]*")
_SPACES = re2.compile(r"[ \t\xa0]+")


def read_html(content: bytes) -> str:
    """What a browser would show, a block a line."""
    if content.startswith(BINARY):
        raise Rejected(Reason.UNKNOWN_TYPE)
    soup = BeautifulSoup(content, "lxml")
    _remove_hidden(soup)
    for line_break in soup.find_all("br"):
        line_break.replace_with("\n")
    for cell in soup.find_all(("td", "th")):
        cell.append("\t")
    for block in soup.find_all(_BLOCKS):
        block.insert_before("\n")
        block.append("\n")
    return str(_LINES.sub("\n\n", _SPACES.sub(" ", soup.get_text()))).strip()


def _remove_hidden(soup: BeautifulSoup) -> None:
    for selector in _hiding_selectors(soup):
        for element in soup.select(selector):
            element.decompose()
    for element in soup.find_all(_NEVER_SHOWN):
        element.decompose()
    for element in soup.find_all(_is_hidden):
        if not element.decomposed:
            element.decompose()
    for text in soup.find_all(string=lambda text: isinstance(text, _MARKUP)):
        text.extract()


_MARKUP = (Comment, Declaration, Doctype, ProcessingInstruction)


def _is_hidden(element: Tag) -> bool:
    style = str(element.get("style") or "")
    return element.has_attr("hidden") or element.get("type") == "hidden" or _hides(style)


def _hides(style: str) -> bool:
    white_on_nothing = _WHITE.search(style) and "background" not in style.lower()
    return bool(_HIDING_STYLE.search(style) or white_on_nothing)


def _hiding_selectors(soup: BeautifulSoup) -> Iterator[str]:
    """Selectors of the page's own style sheets that hide what they match: plain tags, classes and ids only."""
    for sheet in soup.find_all("style"):
        for rule in _STYLE_RULE.finditer(sheet.get_text()):
            if _hides(rule.group(2)):
                selectors = (selector.strip() for selector in rule.group(1).split(","))
                yield from (selector for selector in selectors if selector and _SIMPLE_SELECTOR.search(selector))


# --- PDF ---------------------------------------------------------------------------------------------


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


# --- Word --------------------------------------------------------------------------------------------


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
