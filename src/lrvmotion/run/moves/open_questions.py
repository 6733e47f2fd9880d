"""Which of the VMs that move wait for an answer, since when, and what is to be done about it; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lrvmotion.checks.vms import waits

CANCEL_S = 60.0  # what a task may take to end once it was cancelled: one that waits for an answer may never


@dataclass(slots=True)
class _Question:
    text: str
    since: float
    cancelled: float | None = None  # when the move was cancelled for it


class OpenQuestions:
    """The questions of VMs in mid-move: such a move goes on only once somebody has answered.

    Times are seconds of one clock; a move is cancelled once its VM has waited for *wait_s*.
    """

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._open: dict[str, _Question] = {}

    def take(self, vm: str, text: str, now: float) -> str | None:
        """Take what *vm* asks now, "" where it asks nothing; return what the user is to be told, None: nothing new."""
        known = self._open.get(vm)
        if known is not None and (known.cancelled is not None or known.text == text):
            return None
        if not text:
            return f"{vm}: the question was answered" if self._open.pop(vm, None) is not None else None
        self._open[vm] = _Question(text, now if known is None else known.since)
        return f"{vm} {waits(text)}: answer it in vCenter, or its move is cancelled after {self._wait_s:.0f} s"

    def overdue(self, now: float) -> list[str]:
        """Return the VMs whose move is to be cancelled now, each once."""
        found = [vm for vm, one in self._open.items() if one.cancelled is None and now - one.since >= self._wait_s]
        for vm in found:
            self._open[vm].cancelled = now
        return found

    def stuck(self, now: float) -> Iterator[str]:
        """Give the VMs whose task has not ended though it was cancelled."""
        for vm, one in self._open.items():
            if one.cancelled is not None and now - one.cancelled >= CANCEL_S:
                yield vm

    def reason(self, vm: str) -> str | None:
        """Return why the move of *vm* was cancelled, None where it was not for a question."""
        one = self._open.get(vm)
        if one is None or one.cancelled is None:
            return None
        return f"{waits(one.text)}, and had none after {self._wait_s:.0f} s"

    def close(self, vm: str) -> None:
        """Forget *vm*: its move has ended."""
        self._open.pop(vm, None)
