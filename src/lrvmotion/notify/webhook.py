"""Tell a web address of a run: its start, each VM that did not move, its end; an observer that never waits."""

from __future__ import annotations

import http.client
import json
import queue
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from typing import Any, Self

from lrvmotion.config.field_types import is_web_address
from lrvmotion.errors import UsageError
from lrvmotion.events import Event, Message, Move, Observer, RunEnded, RunStarted
from lrvmotion.model.counted import counted, remain_changed
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.run.credentials import hide

TIMEOUT_S = 10.0
TRIES = 3
WAIT_S = 1.0  # before the second try; doubled
MOST = 1000  # that wait to be sent; more are dropped: the run does not wait for a chat
CLOSE_S = 15.0  # what is left may take so long at the end
SCHEMA = 1


class Webhook:
    """POSTs JSON to *url*, from a thread of its own while it is entered. Never raises.

    *url* may hold a token: only its host is ever shown. *say* hears once of what could not be sent. UsageError for
    what is no address.
    """

    def __init__(self, url: str, say: Observer) -> None:
        if not is_web_address(url):
            message = "the webhook is not a URL"
            raise UsageError(message, hint="LRVMOTION_WEBHOOK is one such as https://chat.example.com/hooks/…")
        self._url = url
        hide(url)
        hide(urllib.parse.urlsplit(url).path)  # what the libraries below are given of it
        self._host = urllib.parse.urlsplit(url).hostname or "the webhook"
        self._say = say
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(MOST)
        self._thread = threading.Thread(target=self._send_all, name="webhook", daemon=True)
        self._run, self._mode = "", ""
        self._states: dict[str, str] = {}
        self._trouble: str | None = None
        self._told = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Send what is left, for a bounded time, and say what could not be."""
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            self._trouble = self._trouble or "too many messages waited"
        self._thread.join(CLOSE_S)
        self._complain()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        self._complain()
        match event:
            case RunStarted(run=run, mode=mode, vms=vms):
                self._run, self._mode = run, mode
                self._post("run_started", f"run {run} started: {counted(len(vms), 'VM')} in {mode} mode", vms=len(vms))
            case Move(vm=vm, state=state, reason=reason):
                self._states[vm] = state
                if state in {MigrationState.ERROR, MigrationState.HELD}:
                    self._post("vm_not_moved", f"{vm}: {state}: {reason}", vm=vm, state=state, reason=reason)
            case RunEnded(run=run, outstanding=outstanding):
                counts = dict(Counter(self._states.values()))
                said = ", ".join(f"{count} {state}" for state, count in counts.items()) or "no VM"
                text = f"run {run} ended: {said}; {remain_changed(outstanding)}"
                self._post("run_ended", text, states=counts, outstanding=outstanding)
            case _:
                pass

    def _post(self, name: str, text: str, **more: Any) -> None:  # noqa: ANN401 - any JSON
        """Queue one message; *text* is what chat systems show."""
        message = {"schema": SCHEMA, "event": name, "run": self._run, "mode": self._mode, "text": text, **more}
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            self._trouble = self._trouble or "too many messages waited"

    def _complain(self) -> None:
        if self._trouble is not None and not self._told:
            self._told = True
            self._say(Message(text=f"the webhook at {self._host} refuses the notification: {self._trouble}"))

    def _send_all(self) -> None:
        while (message := self._queue.get()) is not None:
            try:
                self._send(message)
            except (OSError, ValueError, http.client.HTTPException) as error:
                self._trouble = _words(error)

    def _send(self, message: dict[str, Any]) -> None:
        from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

        tries = Retrying(
            retry=retry_if_exception(_passing),
            stop=stop_after_attempt(TRIES),
            wait=wait_exponential(multiplier=WAIT_S),
            reraise=True,
        )
        headers = {"Content-Type": "application/json", "User-Agent": "lrvmotion"}
        request = urllib.request.Request(self._url, json.dumps(message).encode(), headers, method="POST")  # noqa: S310
        opener = urllib.request.build_opener(_NoRedirects)
        for attempt in tries:
            with attempt:
                try:
                    with opener.open(request, timeout=TIMEOUT_S) as answer:
                        answer.read(1024)
                except urllib.error.HTTPError as error:
                    error.close()
                    raise


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows nobody: elsewhere is not what was configured, and a POST would become a GET on the way."""

    def redirect_request(self, *_: object) -> None:
        """Return no request: the answer is an error then."""


def _words(error: Exception) -> str:
    """Return why a message was not taken; never an exception's own text, which may hold the address."""
    if isinstance(error, urllib.error.HTTPError):
        return f"it answers {error.code}"
    reason = getattr(error, "reason", error)
    said = reason.strerror if isinstance(reason, OSError) else None
    return said or ("it does not answer in time" if isinstance(reason, TimeoutError) else type(reason).__name__)


def _passing(error: BaseException) -> bool:
    """Whether the same request may be taken later: no answer, or the server's own trouble."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= 500 or error.code == 429
    return isinstance(error, OSError)
