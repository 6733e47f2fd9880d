"""Around a relay in trouble: restore what leads hosts through a box that is lost or carries nothing; and return."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from lrvmotion.errors import LrvmotionError, RefusedError
from lrvmotion.events import Message, Observer
from lrvmotion.journal.changes import Outstanding
from lrvmotion.journal.journal import Journal
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan.plan import Change
from lrvmotion.plan.steering import relay_address
from lrvmotion.ports.target import Target
from lrvmotion.run.apply import apply, revert
from lrvmotion.run.relays.monitor import SAMPLE_S, Watch

LOST_S = 10.0  # a box that has not answered for so long is lost: the routes through it go back
SETTLE_S = 120.0  # so long the end of a run waits for somebody else's relocate on a host whose box is lost


class Detour:
    """Leads hosts around lost boxes, and around relays that carry nothing until they do again.

    *relays* are the near relays in use: name to address. Such a box cuts off what is routed to it; no host is written
    while a relocate runs on it.
    """

    def __init__(
        self,
        relays: Mapping[str, str],
        watch: Watch,
        journal: Journal,
        target: Callable[[TargetId], Target],
        observer: Observer,
        run: str,
    ) -> None:
        self._relays = relays
        self._watch = watch
        self._journal = journal
        self._target = target
        self._observer = observer
        self._run = run
        self._tried: set[tuple[str, TargetId]] = set()
        self._lost: set[str] = set()
        self.stays: dict[TargetId, str] = {}  # hosts that could not be led back, and why
        self._stalled: dict[tuple[str, TargetId], list[Outstanding]] = {}  # the ways that lead back: relay, host

    def lost(self, relay: str) -> str | None:
        """Why nothing may start through *relay*: its box is lost and hosts bypass it."""
        if relay not in self._lost:
            return None
        return f"{TargetId.relay(relay)} did not answer for {LOST_S:.0f} s; the routes through it were restored"

    def restore_direct_routes(self, moving: Collection[TargetId], stalled: Mapping[str, str]) -> None:
        """Put back the ways through boxes that are lost or *stalled* (relay: why), but on hosts in *moving*."""
        for relay, address in self._relays.items():
            lost = self._watch.silent_s(relay) >= LOST_S
            if not lost and relay not in stalled:
                continue
            why = f"has not answered for {LOST_S:.0f} s" if lost else stalled[relay]
            for host in self._led_by(relay):
                try:
                    if host in moving or self._target(host).busy():
                        continue
                    self._observer(Message(text=f"{TargetId.relay(relay)} {why}: {host} no longer sends through it"))
                    ways = [item for item in self._ways(address) if item.target == host]
                    self._tried.add((relay, host))
                    if lost:
                        self._lost.add(relay)
                    else:
                        self._stalled[relay, host] = ways
                    self._revert({item.seq for item in ways})
                except LrvmotionError:
                    continue  # the vCenter does not answer either: at the next look

    def come_back(self, moving: Collection[TargetId], stalled: Collection[str]) -> None:
        """Lead hosts back to relays that are *stalled* no longer, but those in *moving*."""
        for (relay, host), ways in list(self._stalled.items()):
            if relay in stalled or host in moving or self._watch.silent_s(relay) >= LOST_S:
                continue
            try:
                target = self._target(host)
                if target.busy():
                    continue
                changes = [
                    Change(target=host, key=item.key, prior=item.prior, planned=item.planned[-1], reason="as before")
                    for item in ways
                ]
                self._observer(Message(text=f"relay {relay} is well again: {host} sends through it as before"))
                apply(changes, {host: target}, self._journal, self._run, self._observer)
            except RefusedError as error:
                self.stays[host] = f"{host} does not send through relay {relay} again: {error.message}"
                self._observer(Message(text=self.stays[host]))
            except LrvmotionError:
                continue  # at the next look
            else:
                self._tried.discard((relay, host))
            del self._stalled[relay, host]

    @property
    def away(self) -> frozenset[TargetId]:
        """The hosts that bypass a relay that carried nothing."""
        return frozenset(host for _, host in self._stalled)

    def settle(self, interrupts: Callable[[], int], stalled: Callable[[], Mapping[str, str]]) -> None:
        """Before the end: find out whether a box is lost or *stalled*, and put the ways back; Ctrl-C ends it."""
        before = interrupts()
        for relay in self._relays:
            if not self._led_by(relay) or (self._watch.trouble(relay, SAMPLE_S) is None and relay not in stalled()):
                continue
            began = time.monotonic()
            while self._led_by(relay) and (asked_s := time.monotonic() - began) < SETTLE_S:
                answers = self._watch.silent_s(relay) < asked_s  # since then, its relay or not
                if (answers and relay not in stalled()) or interrupts() > before:
                    break
                self.restore_direct_routes((), stalled())
                time.sleep(0.5)

    def _revert(self, numbers: Collection[int]) -> None:
        revert(self._journal, self._target, self._observer, run=self._run, only=lambda item: item.seq in numbers)

    def _ways(self, address: str) -> list[Outstanding]:
        """Return the outstanding settings that send a host's traffic to *address*."""
        return [
            item
            for item in self._journal.outstanding()
            if item.target.connection == "source" and relay_address(item.key, item.planned[-1]) == address
        ]

    def _led_by(self, relay: str) -> list[TargetId]:
        """Return the hosts that send through *relay* and have not been tried."""
        hosts = dict.fromkeys(item.target for item in self._ways(self._relays[relay]))
        return [host for host in hosts if (relay, host) not in self._tried]
