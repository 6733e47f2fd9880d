"""Keep a run to the clock: the timetable's cap at every near relay, and news of the maintenance window."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
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
    hand holds until the timetable's next change.
    """

    def __init__(
        self,
        config: Config,
        relays: Sequence[str],
        throttle: Callable[[str, int | None], None],
        observer: Observer,
        record: Callable[[CapChange], None] = lambda _: None,
    ) -> None:
        self.windows = config.windows
        self._relay, self._throttle, self._observer, self._record = config.relay, throttle, observer, record
        self._near = tuple(relays) if config.relay.timetable is not None else ()
        self._cap: int | None = None
        self._wanted: dict[str, datetime | None] = dict.fromkeys(self._near)  # relays to be told, and not before when
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
        if self.windows.windows and (is_open := self.windows.is_open(now)) != self._open:
            self._open = is_open
            turn = self.windows.changes(now)
            until = None if turn is None else turn.astimezone(self.windows.zone()).isoformat(timespec="seconds")
            self._observer(WindowChanged(is_open=is_open, until=until))

    def restarted(self, relay: str) -> None:
        """Count *relay* as restarted, which it did with the timetable's lowest cap: the next look sends its cap."""
        if relay in self._near:
            self._wanted[relay] = None

    def _send(self, cap: int | None, now: datetime) -> None:
        if cap != self._cap:
            self._cap = cap
            self._wanted = dict.fromkeys(self._near)
        for relay, when in list(self._wanted.items()):
            if relay in self._sending or (when is not None and when - AGAIN <= now < when):
                continue
            del self._wanted[relay]
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
