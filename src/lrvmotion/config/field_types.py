"""The types of the configuration's values: what each takes, and the sentence for what it refuses."""

from __future__ import annotations

import ipaddress
import re
import shlex
import unicodedata
from datetime import date, time
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf, PlainSerializer, SecretStr

from lrvmotion.config import time_zone as zones
from lrvmotion.config.address_pool import parse_pool
from lrvmotion.config.rate_schedule import Timetable, least_cap, rate
from lrvmotion.config.rate_schedule import parse as parse_timetable


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        message = f"{text!r} is not an IP address"
        raise ValueError(message) from None


def _line(text: str) -> str:
    """Refuse what cannot be sent as it is: a name is one line."""
    if not text.strip() or any(unicodedata.category(one) == "Cc" for one in text):
        message = f"{text!r} is empty, or has a control character"
        raise ValueError(message)
    return text


def host_name(text: str) -> str:
    """Return a host's name or IP address, IPv6 without brackets; ValueError for what cannot be looked up."""
    plain = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return plain if ipaddress.ip_address(plain).version == 6 else text
    except ValueError:
        pass
    if re.search(r"[/@:]", text):
        message = f"{text!r} is not a host: give its name or IP address alone, and its port as port"
        raise ValueError(message)
    try:
        fits = bool(text.encode("idna")) and not re.search(r"[\s\x00-\x1f\x7f]", text)
    except UnicodeError:
        fits = False
    if not fits:
        message = f"{text!r} is not a host's name or IP address"
        raise ValueError(message)
    return text


def _fingerprint(text: str) -> str:
    plain = text.replace(":", "").replace(" ", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", plain):
        message = "a SHA-256 fingerprint has 64 hexadecimal digits, with or without colons"
        raise ValueError(message)
    return plain


def _limit(text: object) -> int | Timetable:
    if isinstance(text, str) and (":" in text or "," in text):
        return Timetable(parse_timetable(text))
    return least_cap(rate(text))


def _zone(name: str) -> str:
    zones.zone(name)
    return name


def _iso(value: object) -> object:
    """Return what TOML reads without quotes, 22:00:00 or 2026-12-05T22:00:00, as text."""
    if isinstance(value, time):
        return f"{value:%H:%M}"
    return value.isoformat() if isinstance(value, date) else value  # a datetime is a date


def _expand(text: object) -> Path:
    """Return the path *text*, ~ and ~user expanded."""
    if not isinstance(text, str | Path) or not str(text):
        message = f"{text!r} is not a path: {'it is empty' if text == '' else 'put it in quotes'}"
        raise ValueError(message)
    if "\0" in str(text):
        message = f"{text!r} is not a path: it has a NUL character"
        raise ValueError(message)
    try:
        return Path(text).expanduser()
    except RuntimeError:
        message = f"{text!r}: the home folder is not known: write the whole path"
        raise ValueError(message) from None


def _words(command: object) -> object:
    """Return a command's words: a list as it is, a string split as a shell would, without any other of its work."""
    words = shlex.split(command) if isinstance(command, str) else command
    if not isinstance(words, list | tuple) or not words or words[0] == "":
        message = "is not a command: give its words, as a string or as a list of strings"
        raise ValueError(message)
    if any("\0" in word for word in words if isinstance(word, str)):
        message = "is not a command: it has a NUL character"
        raise ValueError(message)
    if isinstance(words[0], str) and words[0].startswith("~"):
        return [str(_expand(words[0])), *words[1:]]
    return words


def is_web_address(text: str) -> bool:
    """Whether *text* is a URL that can be sent to; one with a user in it is not."""
    return re.fullmatch(r"https?://[\w.-]+(:\d{1,5})?(/[\x21-\x7e]*)?", text, re.ASCII) is not None


def _webhook(url: SecretStr) -> SecretStr:
    """Refuse what is no URL, without repeating it: it may hold a token."""
    if not is_web_address(url.get_secret_value()):
        message = "is not a URL such as https://chat.example.com/hooks/…"
        raise ValueError(message)
    return url


def _service_url(text: str) -> str:
    """Return the URL of a vCenter's API, with the path that all have."""
    plain = text.rstrip("/").removesuffix("/sdk")
    if not re.fullmatch(r"https://([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?", plain, re.ASCII):
        message = f"{text!r} is not the URL of a vCenter's API, such as https://vcsa-b.example.com/sdk"
        raise ValueError(message)
    return f"{plain}/sdk"


Rate = Annotated[int, BeforeValidator(rate)]
Limit = Annotated[int | InstanceOf[Timetable], BeforeValidator(_limit), PlainSerializer(str, return_type=str)]
Zone = Annotated[str, AfterValidator(_zone)]
Moment = Annotated[str, BeforeValidator(_iso)]
Address = Annotated[str, AfterValidator(_address)]
Fingerprint = Annotated[str, AfterValidator(_fingerprint)]
Host = Annotated[str, AfterValidator(host_name)]
Line = Annotated[str, AfterValidator(_line)]
File = Annotated[Path, BeforeValidator(_expand)]
Files = Annotated[tuple[File, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)]
Pool = Annotated[tuple[str, ...], AfterValidator(parse_pool)]
Port = Annotated[int, Field(ge=1, le=65535)]
Argv = Annotated[tuple[str, ...], BeforeValidator(_words)]
ServiceUrl = Annotated[str, AfterValidator(_service_url)]
Webhook = Annotated[SecretStr, AfterValidator(_webhook)]
