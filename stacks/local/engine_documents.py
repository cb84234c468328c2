"""Values that were formatted wrongly: a missing value inside a policy, an Output inside a text.

Under mocks both pass: `f"{arn}/*"` of a missing ARN becomes "None/*", `json.dumps` writes null, and
an Output becomes the text of a warning. AWS takes some of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from stacks.local.engine_graph import Json
from stacks.local.engine_values import leaves

# `None` or `null` standing where a name or an ARN should: alone, or next to a separator.
_MISSING = re.compile(r"(?:^|[:/.@ ])(?:None|null)(?:$|[:/.*@ ])")
_OUTPUT_TEXTS = ("Calling __str__ on an Output", "Calling [toString] on an", "<pulumi.output.Output object at")
_DOCUMENT_KEYS = ("policy", "policyDocument", "assumeRolePolicy", "containerDefinitions", "inlinePolicies")


def mistakes(inputs: Mapping[str, Json]) -> Iterator[str]:
    """One sentence for each value that can only come from a formatting mistake."""
    for path, leaf in leaves(dict(inputs)):
        if isinstance(leaf, str) and any(text in leaf for text in _OUTPUT_TEXTS):
            yield f"{path}: an Output was formatted into a string; use Output.concat, Output.format or apply"
    for key, value in inputs.items():
        yield from _document_mistakes(key, value)


def _document_mistakes(key: str, value: Json) -> Iterator[str]:
    document = _parsed(value)
    if isinstance(document, (dict, list)) and (key in _DOCUMENT_KEYS or _is_policy(document)):
        for path, leaf in leaves(document):
            if leaf is None or (isinstance(leaf, str) and _MISSING.search(leaf)):
                yield f"{key}: the document holds {leaf!r} at {path}: a value was missing when it was written"
    elif isinstance(document, (dict, list)):
        items = document.items() if isinstance(document, dict) else enumerate(document)
        for name, item in items:
            if not isinstance(value, str):
                yield from _document_mistakes(str(name), item)


def _parsed(value: Json) -> Json:
    if not isinstance(value, str) or value[:1] not in "{[":
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _is_policy(document: Json) -> bool:
    return isinstance(document, dict) and "Statement" in document
