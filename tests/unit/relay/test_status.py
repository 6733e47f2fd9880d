"""What a relay tells of its redirect, and what is made of it: healthy, or not and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from lrvmotion.errors import UnreachableError
from lrvmotion.ports.shell import Completed
from lrvmotion.relay.status import health

STATUS = {
    "live": 1, "peak": 1, "accepted": 2, "rate_bps": 10, "sentence": "fine", "bytes_to_target": 7, "limit_bps": None,
    "congestion_control": "bbr", "uptime_s": 1.5, "refused": {}, "streams": [],
}  # fmt: skip


@dataclass
class Box:
    """A shell whose relay answers with one status."""

    redirect: dict[str, object]
    name: str = "relay/relay1"

    def run(self, argv: Sequence[str], *, stdin: bytes | None = None, timeout_s: float = 30.0) -> Completed:
        return Completed(
            argv=tuple(argv), status=0, stdout=json.dumps({**STATUS, "redirect": self.redirect}), stderr=""
        )


@pytest.mark.parametrize(
    ("redirect", "words"),
    [
        ({"state": "absent", "reason": "somebody flushed it"}, "redirect is not loaded: somebody flushed it"),
        ({"state": "absent", "reason": None}, "redirect is not loaded: its rules are not there"),
        ({"state": "withdrawn", "reason": "a firewall"}, "the relay withdrew its redirect: a firewall"),
    ],
)
def test_a_relay_that_nothing_is_redirected_to_is_not_healthy(redirect: dict[str, object], words: str) -> None:
    """A flushed redirect is as bad as a withdrawn one: no VM is started, and the reason says which it is."""
    with pytest.raises(UnreachableError, match=words) as caught:
        health(Box(redirect), "abc123")  # type: ignore[arg-type]
    assert caught.value.hint


@pytest.mark.parametrize(
    ("redirect", "reloads"), [({"state": "installed", "reloads": 2}, 2), ({"state": "installed"}, 0)]
)
def test_a_redirect_that_was_loaded_again_is_counted(redirect: dict[str, object], reloads: int) -> None:
    """The relay is healthy, and how often somebody flushed its rules is known; an older relay does not say."""
    assert health(Box(redirect), "abc123").reloads == reloads  # type: ignore[arg-type]
