"""Watch the relays of a run, each from a thread of its own, so that a box that does not answer holds nobody up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from lrvmotion.errors import LrvmotionError
from lrvmotion.events import RelaySample
from lrvmotion.model.target_id import TargetId

SAMPLE_S = 2.0
_NEVER = float("-inf")


@dataclass(slots=True)
class _Seen:
    """What is known of one relay; times in monotonic seconds. *trouble*: why it is not healthy, None where it is."""

    answered: float  # the box itself answered, its relay or not
    asked: float = _NEVER  # when the last question with an answer was asked
    trouble: str | None = None
    wanted: threading.Event = field(default_factory=threading.Event)


class Watch:
    """Asks every relay of *relays* for a sample every two seconds while it is entered.

    *ask* returns a relay's sample and raises LrvmotionError where it is not healthy; *alive* says whether its box
    answers at all. Both are called in the relay's thread; everything else is for the caller's.
    """

    def __init__(
        self,
        relays: Sequence[str],
        ask: Callable[[str], RelaySample],
        alive: Callable[[str], bool],
        *,
        every_s: float = SAMPLE_S,
    ) -> None:
        self._ask = ask
        self._alive = alive
        self._every_s = every_s
        self._changed = threading.Condition()
        self._ended = False
        self._samples: list[RelaySample] = []
        now = time.monotonic()
        self._seen = {relay: _Seen(answered=now) for relay in relays}

    def __enter__(self) -> Self:
        for relay in self._seen:
            threading.Thread(target=self._follow, args=(relay,), name=f"watch {relay}", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ask nothing more; a question that is under way ends by itself."""
        self._ended = True
        for seen in self._seen.values():
            seen.wanted.set()

    def news(self) -> list[RelaySample]:
        """Return the samples since the last call."""
        with self._changed:
            samples, self._samples = self._samples, []
        return samples

    def trouble(self, relay: str, within_s: float) -> str | None:
        """Ask *relay* now and return why it is not healthy, or that no answer came *within_s* seconds."""
        began = time.monotonic()
        seen = self._seen[relay]
        seen.wanted.set()
        with self._changed:
            if self._changed.wait_for(lambda: seen.asked >= began, within_s):
                return seen.trouble
            return seen.trouble or f"relay {relay}: no answer within {within_s:.0f} s"

    def silent_s(self, relay: str) -> float:
        """Return for how long the box of *relay* has not answered, in seconds."""
        with self._changed:
            return time.monotonic() - self._seen[relay].answered

    def _follow(self, relay: str) -> None:
        seen = self._seen[relay]
        while not self._ended:
            seen.wanted.clear()
            began = time.monotonic()
            sample, trouble = None, None
            try:
                sample = self._ask(relay)
                answers = True
            except LrvmotionError as error:
                trouble = naming(relay, error.message)
                answers = self._alive(relay)
            with self._changed:
                seen.asked, seen.trouble = began, trouble
                if answers:
                    seen.answered = time.monotonic()
                if sample is not None:
                    self._samples.append(sample)
                self._changed.notify_all()
            seen.wanted.wait(self._every_s)


def naming(relay: str, message: str) -> str:
    """Return *message* with its *relay* named before it, once: what a relay host says of itself names it already."""
    return message if message.startswith(f"{TargetId.relay(relay)}: ") else f"relay {relay}: {message}"
