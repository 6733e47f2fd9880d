"""Secrets: where each password comes from, and a type that never shows one."""

from __future__ import annotations

import functools
import os
import re
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path

from lrvmotion import files
from lrvmotion.config.schema import password_variable
from lrvmotion.errors import TrustError, UsageError
from lrvmotion.model.target_id import ConnectionId, SiteId
from lrvmotion.redaction import HIDDEN, wherever

SERVICE = "lrvmotion"  # the keyring's name for what is ours
_LONGEST = 4096  # bytes of a password
_KNOWN: set[str] = set()  # every secret of this process


def hide(secret: str) -> None:
    """Let *hidden* leave *secret* out from now on: it goes into calls, and what fails may repeat them."""
    _KNOWN.add(secret)


def hidden(text: str) -> str:
    """Return *text*, of an exception or a fault, without any secret of this process."""
    found = _pattern(frozenset(_KNOWN))  # at once: other threads may log in
    return text if found is None else found.sub(HIDDEN, text)


@functools.lru_cache(maxsize=1)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str] | None:
    return wherever(secrets)


class Secret:
    """A password; its text only through *reveal*, never through str, repr, pickling or a traceback."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text
        hide(text)

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> tuple[type, tuple[str]]:
        message = "a secret is not serialised"
        raise TypeError(message)

    def reveal(self) -> str:
        """Return the password itself, for the login call alone."""
        return self._text


class Credentials:
    """Finds the password of a site or box: LRVMOTION_<NAME>_PASSWORD, its owner-only file, the keyring, then a prompt.

    *environment* is what the CLI read; *ask* prompts (None off a terminal).
    """

    def __init__(self, environment: Mapping[str, str], ask: Callable[[str], str] | None = None) -> None:
        self._environment = environment
        self._ask = ask
        self._known: dict[str, Secret] = {}

    def password(self, name: SiteId, login: str, host: str, file: Path | None) -> Secret:
        """Return the password of *login* on *host*, *name* to us; TrustError without one.

        *host* has its port where that is not the usual one ("vcsa.example.com:8443"), as in ssh's known hosts.
        """
        if name not in self._known:
            self._known[name] = self._find(name, login, host, file)
        return self._known[name]

    def _find(self, name: SiteId, login: str, host: str, file: Path | None) -> Secret:
        variable = password_variable(ConnectionId(name).secret)
        if self._environment.get(variable):
            return _secret(self._environment[variable], variable)
        if file is not None:
            return read_file(file)
        kept = from_keyring(f"{login}@{host}")
        if kept is not None:
            return kept
        if self._ask is not None:
            return Secret(self._ask(f"Password of {login} ({name}): "))
        message = f"{name}: no password for {login}"
        hint = f"set {variable}, password_file in the configuration, or 'keyring set {SERVICE} {login}@{host}'"
        raise TrustError(message, hint=hint)


def from_keyring(entry: str) -> Secret | None:
    """Return what the system's keyring has for *entry* ("USER@HOST") of the service "lrvmotion".

    None where it has nothing, is locked, or does not exist: most servers have none.
    """
    try:
        import keyring
        from keyring.errors import KeyringError
    except (ImportError, AttributeError, TypeError):  # what PYTHON_KEYRING_BACKEND names is not a backend
        return None
    try:
        kept = keyring.get_password(SERVICE, entry)
    except (KeyringError, RuntimeError):  # RuntimeError: a user without a home folder
        return None
    return Secret(kept) if kept else None


def read_file(path: Path) -> Secret:
    """Return the first line of *path*, in UTF-8, without a byte order mark.

    UsageError where others may read the file, or it is empty, missing, or in another encoding.
    """
    try:
        with path.expanduser().open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.readline(_LONGEST)
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the path; a home folder that is not known
        message = f"{path}: the password file cannot be read: {getattr(error, 'strerror', None) or error}"
        raise UsageError(
            message, hint="password_file names a file of yours with the password in its first line"
        ) from None
    if mode & 0o077:
        message = f"{path}: the password file can be read by others than its owner"
        raise UsageError(message, hint=f"chmod 600 {path}")
    text = files.decoded(content, str(path)).rstrip("\r\n")
    if not text:
        message = f"{path}: the password file is empty"
        raise UsageError(message)
    return _secret(text, str(path))


def _secret(text: str, where: str) -> Secret:
    """Return the password *text*; UsageError, without repeating it, where it cannot be sent as it is."""
    if not text.isprintable() and any(unicodedata.category(one) in {"Cc", "Cs"} for one in text.replace("\t", "")):
        message = f"{where}: the password has a character that is no text: a control character, or not UTF-8"
        raise UsageError(message, hint="write it as one line of UTF-8")
    return Secret(text)
