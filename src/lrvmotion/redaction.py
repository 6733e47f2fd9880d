"""Take secrets out of what is sent to others, and names and addresses where that is wished; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

HIDDEN = "***"
_ENTITIES = {"&": "", "<": "lt;", ">": "gt;", '"': "quot;|#34;|#x22;", "'": "apos;|#39;|#x27;"}
LEAST = 4  # characters: a shorter password stands in too many words to be looked for
_SECRET = re.compile(r"passw(or)?d|passphrase|secret|token|authori[sz]ation|api_?key|cookie|headers?", re.IGNORECASE)
_WEB = re.compile(r"(https?://)(?:[^/@\s]*@)?([^/?#\s\"']+)[^\s\"']*")
_ADDRESS = re.compile(
    r"(?P<mac>\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b)"
    r"|(?P<uuid>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b)"
    r"|(?P<ip>\b(?:\d{1,3}\.){3}\d{1,3}\b|(?<![0-9a-f:])(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{1,4}\b|\b[0-9a-f:]*::[0-9a-f:]+\b)",
    re.IGNORECASE,
)
_PINS = ("pem", "sha256", "host_key")  # what a certificate or a key says of its owner


class Redactor:
    """Replaces each of *secrets* wherever it stands.

    *names*, (kind, name), are replaced by "kind-1" and so on, the same name by the same word everywhere, and with them
    every address and UUID; None leaves names and addresses as they are. *words* are those for what is known elsewhere.
    """

    def __init__(
        self,
        secrets: Iterable[str],
        names: Iterable[tuple[str, str]] | None = None,
        words: Mapping[str, str] | None = None,
    ) -> None:
        self._given = words or {}
        self._secrets = wherever(secrets)
        self._anonymous = names is not None
        self._words: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        for kind, name in names or ():
            if len(name) > 1:
                self._word(kind, name)
        ordered = sorted(self._words, key=len, reverse=True)
        joined = "|".join(re.escape(name) for name in ordered)
        self._names = re.compile(rf"(?<![\w-])(?:{joined})(?![\w-])") if ordered else None

    def text(self, given: str) -> str:
        """Return *given* without what is to be hidden; of an address on the web its server is left."""
        if self._secrets is not None:
            given = self._secrets.sub(HIDDEN, given)
        given = _WEB.sub(r"\1\2/", given)
        if not self._anonymous:
            return given
        if self._names is not None:
            given = self._names.sub(lambda found: self._words[found[0]], given)
        return _ADDRESS.sub(lambda found: self._word(str(found.lastgroup), found[0].lower()), given)

    def value(self, given: Any) -> Any:  # noqa: ANN401 - any JSON
        """Return the JSON value *given*, every text in it as *text* has it."""
        if isinstance(given, str):
            return self.text(given)
        if isinstance(given, Mapping):
            return {
                self.text(str(name)): HIDDEN if self._anonymous and name in _PINS and item else self.value(item)
                for name, item in given.items()
            }
        if isinstance(given, list | tuple):
            return [self.value(item) for item in given]
        return given

    def _word(self, kind: str, name: str) -> str:
        if name in self._given:
            self._words[name] = self._given[name]
        elif name not in self._words:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._words[name] = f"{kind}-{self._counts[kind]}"
        return self._words[name]


def wherever(secrets: Iterable[str]) -> re.Pattern[str] | None:
    """Return what finds each of *secrets*, the longer ones first; None where there is nothing to look for.

    As it is, and escaped as XML, JSON, a URL and Python do it, once or in one another: the repr of a text in a text.
    One that is too short stands in too many words to be looked for.
    """
    found = sorted({one for one in secrets if len(one) >= LEAST}, key=len, reverse=True)
    return re.compile("|".join("".join(map(_letter, one)) for one in found)) if found else None


def _letter(one: str) -> str:
    """Return the pattern of one letter of a secret, escaped any number of times."""
    if one == "\\":
        return r"(?:\\+|(?:%(?:25)*(?i:5c))+)"
    forms: set[str] = set()
    if one in _ENTITIES:
        forms.add(f"&(?:amp;)*(?:{_ENTITIES[one]})")
    if (quoted := quote(one, safe="", errors="surrogatepass")) != one:
        forms.add("".join(f"%(?:25)*(?i:{part})" for part in quoted.split("%")[1:]))
    plain = re.escape(one)  # the last to be tried: an escaped form may begin with it ("%25")
    if one in "'\"":
        return rf"\\*(?:{'|'.join([*sorted(forms), plain])})"
    for escaped in (repr(one)[1:-1], ascii(one)[1:-1], json.dumps(one)[1:-1]):
        if escaped.startswith("\\"):
            forms.add("".join(rf"\\+{part}" for part in escaped.split("\\")[1:]))
    return f"(?:{'|'.join([*sorted(forms), plain])})"


def configuration(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration (TOML) without what may be secret: keys named so, and all but the program of a hook.

    A path to a file with a secret stays: the file is not read.
    """
    return {name: _clean(name, item, hook=False) for name, item in given.items()}


def _clean(name: str, item: Any, *, hook: bool) -> Any:  # noqa: ANN401 - any TOML
    hook = hook or "hook" in name.lower()
    if _SECRET.search(name) and not name.endswith("_file"):
        return HIDDEN
    if isinstance(item, Mapping):
        return {inner: _clean(inner, one, hook=hook) for inner, one in item.items()}
    if hook and isinstance(item, str | list):
        return HIDDEN if "webhook" in name.lower() else _program(item)
    if isinstance(item, list):
        return [_clean("", one, hook=hook) for one in item]
    return item if isinstance(item, str | int | float) else str(item)


def _program(command: str | list[Any]) -> str:
    words = command.split() if isinstance(command, str) else [str(word) for word in command]
    more = f" ({len(words) - 1} more)" if len(words) > 1 else ""
    return f"{words[0]}{more}" if words else ""
