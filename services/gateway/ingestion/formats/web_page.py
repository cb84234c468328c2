"""HTML: what a browser would show.

Weak: text hidden by an external style sheet, by a style rule that is not a plain tag, class or id, or by the
colour of its surroundings is read as if it were seen.
"""

from __future__ import annotations

from collections.abc import Iterator

import re2
from bs4 import BeautifulSoup, Comment, Tag
from bs4.element import Declaration, Doctype, ProcessingInstruction

from services.gateway.ingestion.formats import BINARY
from services.gateway.ingestion.rejection import Reason, Rejected

_NEVER_SHOWN = ("script", "style", "noscript", "template", "iframe", "object", "embed", "svg", "head", "title",
                "textarea", "select", "option", "datalist", "canvas", "audio", "video", "dialog")  # fmt: skip
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
