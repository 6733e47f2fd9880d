"""Whether a relay carries anything: streams that are open and stand still are named with what is in their way; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

STALL_S = 10.0  # so long nothing is carried although streams have data that waits
PATIENCE_S = 300.0  # so long a queue in which nothing moves waits for a relay that carries nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The interface that has a relay's address; *device* "" where none has it. *state* is the kernel's operstate."""

    device: str
    state: str = ""
    carrier: bool = True
    received: int = 0
    sent: int = 0

    @property
    def down(self) -> str | None:
        """What is wrong with it, None where it is up."""
        if not self.device:
            return "no interface of it has the relay's address"
        if self.carrier and self.state not in {"down", "lowerlayerdown", "notpresent"}:
            return None
        return f"its interface {self.device} is down (operstate {self.state}{'' if self.carrier else ', no carrier'})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a relay carries at one moment: *waiting* of its *streams* have data that is not acknowledged.

    *carried* is in bytes since the relay began, *ends* the addresses at both ends of its streams.
    """

    streams: int
    carried: int
    waiting: int
    ends: tuple[str, ...] = ()


@dataclass(slots=True)
class Flow:
    """One relay, asked every few seconds; *silent* returns which addresses do not answer a ping from its box.

    *near* and *far* are addresses of vMotion vmknics at both sites. *reason* is why it carries nothing, None where it
    is well. Streams that are open with nothing to send are no stall: the moves behind them may be prepared, or carry
    cold data. Once no stream stands still, the relay is well where somebody answers at both sides: a single
    target host that is dead is not the relay's fault.
    """

    silent: Callable[[Sequence[str]], list[str]]
    near: tuple[str, ...] = ()
    far: tuple[str, ...] = ()
    reason: str | None = None
    since: float | None = None  # when the reason was first there
    _carried: int = -1
    _moved: float = 0.0  # when the last byte was carried, or no stream was open
    _ends: tuple[str, ...] = field(default=())
    _link: Link | None = None

    def take(self, now: float, load: Load, link: Link | None) -> None:
        """Judge again at *now*, in seconds; *link* None: the box does not tell."""
        moves = load.carried != self._carried
        if moves or not load.streams:
            self._carried, self._moved = load.carried, now
        before, self._link = self._link, link
        self._ends = load.ends or self._ends
        stands = bool(load.streams) and now - self._moved >= STALL_S
        cause = None if link is None else link.down
        if cause is None and stands and load.waiting:
            quiet = self.silent(self._ends) if self._ends else []
            cause = _quiet(quiet) or f"what it sends is not acknowledged{_counted(before, link)}"
        elif cause is None and self.reason is not None and not (load.streams and moves):
            cause = self._away()  # its streams have ended, or wait for the source
        if cause is None:
            self.reason = self.since = None
            return
        what = f"carries nothing while {_count(load.streams)} open" if load.streams else "cannot carry anything"
        if self.reason is None:
            self.since = now
        self.reason = f"{what}: {cause}"

    def _away(self) -> str | None:
        """Return which side does not answer at all, None where somebody does at both."""
        sides = [dict.fromkeys((*self._ends[at : at + 1], *peers)) for at, peers in enumerate((self.near, self.far))]
        quiet = self.silent([peer for side in sides for peer in side])
        gone = [peer for side in sides if side and all(peer in quiet for peer in side) for peer in side]
        return _quiet(gone)


@dataclass(slots=True)
class Patience:
    """How long a queue waits for relays: *over* once nothing has moved for PATIENCE_S, until none is waited for."""

    over: bool = False
    _since: float | None = None

    def take(self, now: float, *, waits: bool, idle: bool) -> None:
        """Judge again at *now*, in seconds: whether a relay is waited for, and whether nothing moves meanwhile."""
        if not waits:
            self.over, self._since = False, None
        elif not idle:
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since > PATIENCE_S:
            self.over = True


def _quiet(peers: Sequence[str]) -> str | None:
    if not peers:
        return None
    return f"{' and '.join(peers)} {'does' if len(peers) == 1 else 'do'} not answer a ping from it"


def _counted(before: Link | None, link: Link | None) -> str:
    if before is None or link is None or before.device != link.device:
        return ""
    return f" ({link.device} received {max(link.received - before.received, 0)} bytes meanwhile)"


def _count(streams: int) -> str:
    return "1 stream is" if streams == 1 else f"{streams} streams are"
