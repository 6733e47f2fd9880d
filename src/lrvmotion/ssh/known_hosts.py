"""What a known_hosts file says, read as OpenSSH reads it (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT); pure.

A line is [@marker] hosts kind key [comment]. *hosts* is a list of patterns with commas between: `*` and `?` are
wildcards, `!` in front makes the line say nothing of what matches, `[host]:port` is for another port than 22, and
`|1|salt|hash` hides a single name. What cannot be understood is passed over, as OpenSSH does, and named.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Marker = Literal["cert-authority", "revoked"]
_MARKERS: dict[bytes, Marker] = {b"@cert-authority": "cert-authority", b"@revoked": "revoked"}
_ED25519_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line that is whole; *key* is "ssh-ed25519 AAAA…", without a comment."""

    line: int
    marker: Marker | None
    hosts: str
    key: str

    @property
    def kind(self) -> str:
        """The kind of the key: "ssh-ed25519"."""
        return self.key.partition(" ")[0]

    def is_for(self, host: str) -> bool:
        """Return whether the line speaks of *host*, as *address* returns it."""
        if self.hosts.startswith("|"):
            return _hashed(self.hosts, host)
        found = False
        for pattern in self.hosts.lower().split(","):
            if _like(pattern.removeprefix("!"), host):
                if pattern.startswith("!"):
                    return False
                found = True
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A line that is passed over, and why."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line} {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownHosts:
    """What one file says, in its order."""

    entries: tuple[Entry, ...] = ()
    broken: tuple[Broken, ...] = ()

    def of(self, host: str, port: int) -> list[Entry]:
        """Return the lines that speak of *host* at *port*.

        As in OpenSSH those without a port count for any port, but for kinds of key that the port has lines of its own
        for; what is revoked for the host is revoked for every port.
        """
        own = [entry for entry in self.entries if entry.is_for(address(host, port))]
        kinds = {entry.kind for entry in own if entry.marker is None}
        plain = (entry for entry in self.entries if entry not in own and entry.is_for(address(host, 22)))
        return [*own, *(entry for entry in plain if entry.marker or entry.kind not in kinds)]


def parse(content: bytes) -> KnownHosts:
    """Return what *content* says; nothing in it is an error."""
    entries: list[Entry] = []
    broken: list[Broken] = []
    for number, raw in enumerate(content.split(b"\n"), 1):
        words = raw.split()
        if not words or words[0].startswith(b"#"):
            continue
        try:
            entries.append(_entry(number, words))
        except ValueError as error:
            broken.append(Broken(line=number, reason=str(error)))
    return KnownHosts(entries=tuple(entries), broken=tuple(broken))


def address(host: str, port: int) -> str:
    """Return *host* as a line names it: in lower case, "[host]:port" for another port than 22."""
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"


def canonical(kind: str, key: str) -> str:
    """Return "kind key" as a server shows it; ValueError, with what is wrong, where *key* is no whole key of *kind*."""
    try:
        blob = base64.b64decode(key, validate=True)
    except ValueError:
        message = "has a key that is not base64"
        raise ValueError(message) from None
    fields = _fields(blob)
    if not fields or fields[0] != kind.encode():
        message = f"has a key that is not of the kind {kind}"
        raise ValueError(message)
    if len(fields) < 2 or (kind == "ssh-ed25519" and len(fields[1]) != _ED25519_BYTES):
        raise ValueError(_CUT)
    return f"{kind} {base64.b64encode(blob).decode()}"


_CUT = "has a key that is cut off"


def _entry(number: int, words: Sequence[bytes]) -> Entry:
    marker = None
    if words[0].startswith(b"@"):
        if words[0] not in _MARKERS:
            message = f"has the marker {words[0].decode(errors='replace')}, which is not known"
            raise ValueError(message)
        marker, words = _MARKERS[words[0]], words[1:]
    if len(words) < 3:
        message = "is not: hosts, kind of key, key"
        raise ValueError(message)
    try:
        hosts, kind, key = (word.decode("ascii") for word in words[:3])
    except UnicodeDecodeError:
        message = "has a byte that is not ASCII in its hosts or key"
        raise ValueError(message) from None
    if hosts.startswith("|"):
        _salt_and_hash(hosts)
    return Entry(line=number, marker=marker, hosts=hosts, key=canonical(kind, key))


def _fields(blob: bytes) -> list[bytes]:
    """Return the strings of a key (RFC 4253, 6.6), each behind its length in four bytes."""
    fields = []
    while blob:
        length = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + length:
            raise ValueError(_CUT)
        fields.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return fields


def _like(pattern: str, host: str) -> bool:
    """Whether *pattern* with its `*` and `?` is *host*; in one pass, however many stars there are."""
    at = star = here = mark = 0
    seen = False  # a star: what it stands for can be lengthened
    while here < len(host):
        if at < len(pattern) and pattern[at] == "*":
            star, mark, seen = at, here, True
            at += 1
        elif at < len(pattern) and pattern[at] in {"?", host[here]}:
            at, here = at + 1, here + 1
        elif seen:
            mark += 1
            at, here = star + 1, mark
        else:
            return False
    return not pattern[at:].strip("*")


def _hashed(hosts: str, host: str) -> bool:
    salt, digest = _salt_and_hash(hosts)
    return hmac.compare_digest(hmac.new(salt, host.encode(), hashlib.sha1).digest(), digest)


def _salt_and_hash(hosts: str) -> tuple[bytes, bytes]:
    """Return the two of "|1|salt|hash"; 1 is HMAC-SHA1, and there is no other."""
    try:
        empty, version, salt, digest = hosts.split("|")
        found = base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True)
    except ValueError:
        found = (b"", b"")
        empty = version = ""
    if (empty, version) != ("", "1") or [len(part) for part in found] != [20, 20]:
        message = "has a hashed name that is cut off or of another kind"
        raise ValueError(message)
    return found
