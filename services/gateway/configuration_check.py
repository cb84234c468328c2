"""`gateway check`: every setting, its value, where it comes from, what it is for, what it may be, and a verdict.

The verdicts are those of the start itself. To find more than the first fault, what is wrong is replaced by a value
that would do and the settings are read again; no second judge is asked, so the two cannot disagree.
"""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TextIO

import msgspec

from services.gateway.ports import Detector
from services.gateway.setting_list import AWS_ENDPOINTS, BY_NAME, SETTINGS, Setting
from services.gateway.settings import Settings, SettingsError

OK = "ok"
WIDTH = 110
VALUE_CHARS_MAX = 48
PREFIX = "GATEWAY_"


@dataclass(frozen=True, slots=True)
class Row:
    """One setting as it stands. `source`: environment, default, or nowhere."""

    name: str
    value: str
    source: str
    what: str
    allowed: str
    verdict: str


def check(environ: Mapping[str, str], out: TextIO, credentials: Detector, *, as_json: bool) -> int:
    """Prints the table; 0 when the gateway would start with these settings, else 1."""
    rows = judged(environ, credentials)
    good = all(row.verdict == OK for row in rows)
    if as_json:
        text = msgspec.json.format(msgspec.json.encode({"ok": good, "settings": [asdict(row) for row in rows]}))
        out.write(f"{text.decode()}\n")
    else:
        out.write(_table(rows))
    return 0 if good else 1


def judged(environ: Mapping[str, str], credentials: Detector) -> list[Row]:
    """Every setting of the list, then what is set but is none of them."""
    verdicts = _verdicts(environ)
    endpoints = sorted(name for name in environ if name.startswith(f"{AWS_ENDPOINTS}_"))
    known = [*SETTINGS, *(_endpoint(name) for name in endpoints)]
    rows = [_row(setting, environ, verdicts.get(setting.name, OK), credentials) for setting in known]
    return rows + [_stranger(name) for name in sorted(environ) if name.startswith(PREFIX) and name not in BY_NAME]


def _verdicts(environ: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with which setting."""
    wrong: dict[str, str] = {}
    tried = dict(environ)
    while True:
        try:
            Settings.from_environment(tried)
        except SettingsError as error:
            name = _named(str(error), tried)
            if name in wrong:  # nothing that would do is known: what comes after it stays unjudged
                return wrong
            wrong[name] = str(error)
            tried = _mended(tried, name)
        else:
            return wrong


def _mended(environ: Mapping[str, str], name: str) -> dict[str, str]:
    """With a value that would do in place of the setting's, and of those that are judged by it."""
    mended = {key: value for key, value in environ.items() if key != name}
    for setting in SETTINGS:
        if setting.example and (setting.name == name or (setting.judged_by == name and setting.name in mended)):
            mended[setting.name] = setting.example
    return mended


def _named(sentence: str, environ: Mapping[str, str]) -> str:
    """The setting that a refusal begins with."""
    match = re.match(r"[A-Z][A-Z0-9_]*", sentence)
    name = match[0] if match else ""
    if name not in BY_NAME and name not in environ:
        raise SettingsError(sentence)
    return name


def _row(setting: Setting, environ: Mapping[str, str], verdict: str, credentials: Detector) -> Row:
    value = environ.get(setting.name, "").strip()
    if value:
        source, shown = "environment", _shown(setting, value, credentials)
    else:
        source, shown = ("nowhere", "not set") if setting.default is None else ("default", setting.default)
    return Row(setting.name, shown, source, setting.what, setting.allowed, _without(verdict, value, shown))


def _shown(setting: Setting, value: str, credentials: Detector) -> str:
    """The value on one line; of a secret, and of what looks like one, only that there is one."""
    if setting.secret or any(True for _ in credentials.find(value)):
        return "set"
    line = "".join(char if char.isprintable() else " " for char in value)
    return line if len(line) <= VALUE_CHARS_MAX else f"{line[: VALUE_CHARS_MAX - 1]}…"


def _without(verdict: str, value: str, shown: str) -> str:
    """A refusal quotes what it refuses: not where that must not be shown."""
    return verdict.replace(repr(value), "what is set").replace(value, "what is set") if shown == "set" else verdict


def _endpoint(name: str) -> Setting:
    general = BY_NAME[AWS_ENDPOINTS]
    return Setting(name, "As AWS_ENDPOINT_URL, for one service.", general.allowed, general.example, general.default)


def _stranger(name: str) -> Row:
    near = difflib.get_close_matches(name, BY_NAME, n=1)
    meant = f": is {near[0]} meant?" if near else ""
    return Row(name, "set", "environment", "Nothing: no setting has this name.", "-", f"is not a setting{meant}")


def _table(rows: list[Row]) -> str:
    """A line for what holds, and below it what it means."""
    name_chars = max(len(row.name) for row in rows)
    value_chars = max(len(row.value) for row in rows)
    lines = [f"{'setting':{name_chars}}  {'value':{value_chars}}  {'from':11}  verdict"]
    for row in rows:
        verdict = OK if row.verdict == OK else "WRONG"
        lines.append(f"{row.name:{name_chars}}  {row.value:{value_chars}}  {row.source:11}  {verdict}")
        lines += _wrapped(f"{row.what} Allowed: {row.allowed}.")
        if row.verdict != OK:
            lines += _wrapped(f"→ {row.verdict}")
    wrong = sum(row.verdict != OK for row in rows)
    lines.append(
        f"{wrong} of {len(rows)} are wrong: the gateway does not start." if wrong else "The gateway starts with these."
    )
    return "\n".join(lines) + "\n"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="    ", break_long_words=False)
