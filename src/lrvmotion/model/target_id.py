"""TargetId: the host, relay host or vCenter that has a setting; ConnectionId: the login that leads to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Self, cast

from lrvmotion.model.inventory import SiteName

_RUN = r"(?:([a-z0-9]+):)?"
_FORMERLY = re.compile(r"\A((?:[a-z0-9]+:)?)box/")  # relay hosts in journals and plan files of schema 1
_CONNECTION = re.compile(rf"{_RUN}((source|target)|relay/.+)", re.DOTALL)
_TARGET = re.compile(rf"{_RUN}(?:(source|target)(?:/(.+))?|relay/(.+))", re.DOTALL)


class TextId(str):
    """A str, so that it is a key, JSON and a word in a sentence as it stands; mypy takes no plain str in its place.

    A subclass looks at its text when it is made and raises ValueError for what names nothing.
    """

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Self], handler: Callable[[type], Any]) -> Any:  # noqa: ANN401
        """Let a saved plan hold it as its text."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(cls, handler(str))


class ConnectionId(TextId):
    """A vCenter, "source" or "target", or a relay host, "relay/NAME".

    Where none of today's connections leads is known by the run that recorded the way there: "abc234:source".
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Read *text*; ValueError where it names no connection."""
        text = _today(text)
        _matched(_CONNECTION, text, 'connection: "source", "target" or "relay/NAME" does')
        return super().__new__(cls, text)

    def of_run(self, run: str) -> ConnectionId:
        """Return it as what only *run* recorded."""
        return ConnectionId(f"{run}:{self.plain}")

    @property
    def run(self) -> str | None:
        """The run that recorded it, where none of today's connections leads there."""
        return _matched(_CONNECTION, self)[1]

    @property
    def plain(self) -> ConnectionId:
        """What that run called it."""
        return ConnectionId(_matched(_CONNECTION, self)[2])

    @property
    def is_relay(self) -> bool:
        """Whether it leads to a relay host; else to a vCenter."""
        return _matched(_CONNECTION, self)[3] is None

    @property
    def secret(self) -> str:
        """What its password is called: "source", "relay-a"."""
        return self.removeprefix("relay/")


SiteId = SiteName | ConnectionId  # a vCenter that we are logged in to


class TargetId(TextId):
    """A host of a vCenter, "source/esx-a1", the vCenter itself, "source", or a relay host, "relay/box-a".

    "abc234:source/esx-a1" is as in ConnectionId. A name may hold anything, slashes too.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Read *text*; ValueError where it names no target."""
        text = _today(text)
        _matched(_TARGET, text, 'target: "source/HOST", "target/HOST", "source", "target" or "relay/NAME" does')
        return super().__new__(cls, text)

    @classmethod
    def host(cls, site: SiteId, name: str) -> Self:
        """Return the id of the host *name* of *site*."""
        return cls(f"{site}/{name}")

    @classmethod
    def vcenter(cls, site: SiteId) -> Self:
        """Return the id of the vCenter of *site*: what it keeps of its VMs is its own."""
        return cls(site)

    @classmethod
    def relay(cls, name: str) -> Self:
        """Return the id of the relay host *name*."""
        return cls(f"relay/{name}")

    @property
    def connection(self) -> ConnectionId:
        """The login that leads to it: its vCenter's, or its own."""
        found = _matched(_TARGET, self)
        return ConnectionId(self if found[3] is None else self[: found.start(3) - 1])

    @property
    def run(self) -> str | None:
        """The run that recorded its connection, where none of today's leads there."""
        return _matched(_TARGET, self)[1]

    @property
    def site(self) -> SiteName | None:
        """The site that its run found it at; None of a relay host."""
        return cast("SiteName | None", _matched(_TARGET, self)[2])

    @property
    def name(self) -> str:
        """The host's name, or the relay host's; "" of a vCenter."""
        found = _matched(_TARGET, self)
        return str(found[3] or found[4] or "")

    @property
    def is_relay(self) -> bool:
        """Whether it is a relay host."""
        return self.site is None

    @property
    def is_vcenter(self) -> bool:
        """Whether it is a vCenter itself."""
        return self.site is not None and not self.name

    def over(self, connection: ConnectionId) -> TargetId:
        """Return the same machine as another *connection* calls it."""
        return TargetId(connection if self.is_relay or self.is_vcenter else f"{connection}/{self.name}")


def site_object(site: SiteId, what: str) -> str:
    """Return how sentences call *what* of a vCenter that is no host: "target/network LAN"."""
    return f"{site}/{what}"


def without_site(text: str) -> str:
    """Return "esx-a1 10.88.0.9" of "source/esx-a1 10.88.0.9"."""
    return text.partition("/")[2]


def _today(text: str) -> str:
    """Return *text* with a relay host named as it is now: older versions wrote "box/NAME"."""
    return _FORMERLY.sub(r"\1relay/", text, count=1)


def _matched(shape: re.Pattern[str], text: str, wanted: str = "id") -> re.Match[str]:
    found = shape.fullmatch(text)
    if found is None:
        message = f"{text!r} names no {wanted}"
        raise ValueError(message)
    return found
