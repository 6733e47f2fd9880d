"""The news of all tasks, asked for again where the mover fails in a way that nobody foresaw."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from lrvmotion.errors import LrvmotionError
from lrvmotion.ports.mover import Mover, TaskUpdate
from lrvmotion.run.moves.run_faults import RunFaults

POLL_S = 1.0
SILENT_S = 300.0  # for so long a vCenter that does not answer is asked


@dataclass(slots=True)
class TaskNews:
    """What the *mover* tells; *clock* gives seconds that only grow."""

    mover: Mover
    faults: RunFaults
    clock: Callable[[], float]
    silent_since: float | None = None

    def take(self) -> list[TaskUpdate]:
        """Wait for news; raises what the mover raises, another error than LrvmotionError only after SILENT_S of it."""
        try:
            found = self.mover.updates(POLL_S)
        except LrvmotionError:
            raise
        except Exception as error:
            now = self.clock()
            self.silent_since = now if self.silent_since is None else self.silent_since
            self.faults.unforeseen("news of the tasks", error)
            if now - self.silent_since > SILENT_S:
                raise
            time.sleep(POLL_S)  # as long as the news would have been waited for
            return []
        self.silent_since = None
        return found
