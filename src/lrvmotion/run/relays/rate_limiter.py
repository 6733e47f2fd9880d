"""Keep a run to the clock: the timetable's cap at every near relay, and news of the maintenance window."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lrvmotion.config.schema import Config
from lrvmotion.errors import LrvmotionError
from lrvmotion.events import CapChanged, Message, Observer, WindowChanged
from lrvmotion.journal.records import CapChange
from lrvmotion.model.target_id import TargetId

AGAIN = timedelta(seconds=60)  # after a relay did not take its cap: until it is tried again


@dataclass(slots=True)
class _Sending:
    """A cap on its way to a relay; *ended* is written last, by the thread that sends. *error* None: it took it."""

    cap: int | None
    error: str | None = "unexpected"
    ended: bool = False


class RateLimiter:
    """What the clock asks for, looked at every few seconds by `look`, which waits for nobody.

    *relays* are the near relays that run; *throttle* sets the cap of one, bit/s, None: none, from a thread of its own,
    and raises LrvmotionError where the relay does not take it; *record* keeps that before. A cap that somebody sets by
    hand holds until the timetable's next change; without a timetable it is set again at each relay that restarted:
    *by_hand* returns these caps by relay.
    """

    def __init__(
        self,
        config: Config,
        relays: Sequence[str],
        throttle: Callable[[str, int | None], None],
        observer: Observer,
        record: Callable[[CapChange], None] = lambda _: None,
        by_hand: Callable[[], Mapping[str, int | None]] = dict,
    ) -> None:
        self.windows = config.windows
        self._relay, self._throttle, self._observer, self._record = config.relay, throttle, observer, record
        self._near = tuple(relays) if config.relay.timetable is not None else ()
        self._cap: int | None = None
        self._by_hand = by_hand
        first = self._near or by_hand()  # the plan may have restarted it
        self._wanted: dict[str, datetime | None] = dict.fromkeys(first)  # relays to be told, and not before when
        self._sending: dict[str, _Sending] = {}
        self._open: bool | None = None

    def look(self, now: datetime) -> None:
        """Send the cap that holds at *now* where it is another one than before; tell of a window that opens or closes.

        *now* is an aware datetime; a clock that jumps does no harm. A relay that does not answer is tried again.
        """
        for relay in [relay for relay, sending in self._sending.items() if sending.ended]:
            self._tell(relay, self._sending.pop(relay), now)
        if self._near:
            self._send(self._relay.cap_at(now), now)
        elif self._wanted:
            caps = self._by_hand()
            self._wanted = {relay: when for relay, when in self._wanted.items() if relay in caps}
            self._begin(caps, now)
        if self.windows.windows and (is_open := self.windows.is_open(now)) != self._open:
            self._open = is_open
            turn = self.windows.changes(now)
            until = None if turn is None else turn.astimezone(self.windows.zone()).isoformat(timespec="seconds")
            self._observer(WindowChanged(is_open=is_open, until=until))

    def restarted(self, relay: str) -> None:
        """Count *relay* as restarted, which it did with the cap of its file: the next look sends the one that holds."""
        if relay in self._near or not self._near:
            self._wanted[relay] = None

    def _send(self, cap: int | None, now: datetime) -> None:
        if cap != self._cap:
            self._cap = cap
            self._wanted = dict.fromkeys(self._near)
        self._begin(dict.fromkeys(self._near, cap), now)

    def _begin(self, caps: Mapping[str, int | None], now: datetime) -> None:
        """Begin to send its one of *caps* to each relay that is to be told."""
        for relay, when in list(self._wanted.items()):
            if relay in self._sending or (when is not None and when - AGAIN <= now < when):
                continue
            del self._wanted[relay]
            cap = caps[relay]
            try:
                self._record(CapChange(target=TargetId.relay(relay), planned=cap))
            except LrvmotionError as error:
                self._observer(Message(text=f"relay {relay}: its cap is not changed: {error.message}"))
                self._wanted[relay] = now + AGAIN
                continue
            sending = self._sending[relay] = _Sending(cap)
            name = f"cap of {relay}"
            threading.Thread(target=self._carry_out, args=(relay, sending), name=name, daemon=True).start()

    def _carry_out(self, relay: str, sending: _Sending) -> None:
        try:
            self._throttle(relay, sending.cap)
            sending.error = None
        except LrvmotionError as error:
            sending.error = error.message
        finally:
            sending.ended = True

    def _tell(self, relay: str, sent: _Sending, now: datetime) -> None:
        if sent.error is None:
            self._observer(CapChanged(relay=relay, bps=sent.cap))
            return
        self._observer(Message(text=f"relay {relay}: its cap could not be changed: {sent.error}"))
        self._wanted.setdefault(relay, now + AGAIN)
