"""Tell every view what happens: one that fails is dropped, the others hear of it, and the work goes on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from lrvmotion.events import Event, Message

View = Callable[[Event], None]


class Fanout:
    """An Observer that tells all of its views, in their order. Never raises; for many threads.

    A view whose file or stream is lost (OSError, ValueError of a closed file) is dropped, and the others are told why.
    Any other exception of a view is a bug: the view is dropped as well, and the bug kept in *bugs* for the end.
    What a view tells while it is told comes after what it was told. *elsewhere* names the log of the run.
    """

    def __init__(self, *views: View) -> None:
        self.bugs: list[Exception] = []
        self.elsewhere: str | None = None
        self._views = list(views)
        self._waiting: deque[Event] = deque()
        self._telling = False
        self._lock = threading.RLock()

    def __call__(self, event: Event) -> None:
        """Tell *event*."""
        with self._lock:
            self._waiting.append(event)
            if self._telling:  # a view tells: after this one
                return
            self._telling = True
            try:
                while self._waiting:
                    self._tell(self._waiting.popleft())
            finally:
                self._telling = False

    def add(self, view: View) -> None:
        """Tell *view* as well from now on."""
        with self._lock:
            self._views.append(view)

    def replace(self, old: View, new: View) -> None:
        """Tell *new* in place of *old*; nobody where *old* was dropped."""
        with self._lock:
            self._views = [new if view is old else view for view in self._views]

    def remove(self, view: View) -> None:
        """Tell *view* no more."""
        with self._lock:
            self._views = [other for other in self._views if other is not view]

    def verify(self) -> None:
        """Raise the first bug of a view: the work is done, and it has to be told."""
        if self.bugs:
            raise self.bugs[0]

    def _tell(self, event: Event) -> None:
        for view in list(self._views):
            try:
                view(event)
            except Exception as error:  # noqa: BLE001 - whatever a view does, the work goes on
                self._views = [other for other in self._views if other is not view]
                self._waiting.append(Message(text=self._why(view, error)))

    def _why(self, view: View, error: Exception) -> str:
        where = f"; what happens is in {self.elsewhere}" if self.elsewhere else ""
        if isinstance(error, OSError):
            name = error.filename or type(view).__name__
            return f"{name} can no longer be written ({error.strerror or error}); the work goes on{where}"
        if isinstance(error, ValueError) and "closed file" in str(error):
            return f"{type(view).__name__} can no longer be written (closed); the work goes on{where}"
        self.bugs.append(error)
        return (
            f"{type(view).__name__} failed with {type(error).__name__}, and gets no more events; this is a bug{where}"
        )
