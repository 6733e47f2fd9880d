"""Around a lost box: put back what leads hosts through a relay box that does not answer any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from lrvmotion.apply import WAYS, Target, revert
from lrvmotion.errors import LrvmotionError
from lrvmotion.events import Message, Observer
from lrvmotion.journal import Journal, Outstanding
from lrvmotion.watch import SAMPLE_S, Watch

LOST_S = 10.0  # a box that has not answered for so long is lost: the routes through it go back
SETTLE_S = 120.0  # so long the end of a run waits for somebody else's relocate on a host whose box is lost


class Detour:
    """Leads hosts around lost boxes. *relays* are the near relays in use: name to address.

    A lost box cuts off what is routed to it; no host is written while a relocate runs on it.
    """

    def __init__(
        self,
        relays: Mapping[str, str],
        watch: Watch,
        journal: Journal,
        target: Callable[[str], Target],
        observer: Observer,
        run: str,
    ) -> None:
        self._relays = relays
        self._watch = watch
        self._journal = journal
        self._target = target
        self._observer = observer
        self._run = run
        self._tried: set[tuple[str, str]] = set()

    def lost(self, relay: str) -> str | None:
        """Why nothing may start through *relay* any more: its box is lost and hosts were led around it."""
        if all(lost != relay for lost, _ in self._tried):
            return None
        return f"box/{relay} did not answer for {LOST_S:.0f} s; the routes through it were put back"

    def go_round(self, moving: Collection[str] = ()) -> None:
        """Put back the ways through boxes that are lost, but on hosts in *moving*."""
        for relay, address in self._relays.items():
            if self._watch.silent_s(relay) < LOST_S:
                continue
            for host in self._led_by(relay):
                try:
                    if host in moving or self._target(host).busy():
                        continue
                    text = f"box/{relay} has not answered for {LOST_S:.0f} s: {host} no longer sends through it"
                    self._observer(Message(text=text))
                    self._tried.add((relay, host))
                    self._revert({item.seq for item in self._ways(address) if item.target == host})
                except LrvmotionError:
                    continue  # the vCenter does not answer either: at the next look

    def settle(self, interrupts: Callable[[], int]) -> None:
        """Before the end: find out whether a box is lost, and put the ways through it back; Ctrl-C ends it."""
        before = interrupts()
        for relay in self._relays:
            if not self._led_by(relay) or self._watch.trouble(relay, SAMPLE_S) is None:
                continue
            began = time.monotonic()
            while self._led_by(relay) and (asked_s := time.monotonic() - began) < SETTLE_S:
                if self._watch.silent_s(relay) < asked_s or interrupts() > before:
                    break  # the box has answered since, its relay or not
                self.go_round()
                time.sleep(0.5)

    def _revert(self, numbers: Collection[int]) -> None:
        revert(self._journal, self._target, self._observer, run=self._run, only=lambda item: item.seq in numbers)

    def _ways(self, address: str) -> list[Outstanding]:
        """Return the outstanding settings that send a host's traffic to *address*."""
        return [
            item
            for item in self._journal.outstanding()
            if item.target.startswith("source/") and item.key.startswith(WAYS) and item.planned[-1].data == address
        ]

    def _led_by(self, relay: str) -> list[str]:
        """Return the hosts that send through *relay* and have not been tried."""
        hosts = dict.fromkeys(item.target for item in self._ways(self._relays[relay]))
        return [host for host in hosts if (relay, host) not in self._tried]
