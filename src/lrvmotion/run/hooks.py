"""Run the user's commands before and after a VM, a wave and the run: environment and JSON in, their exit status out."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrvmotion.config.schema import HookPoint
from lrvmotion.errors import UsageError
from lrvmotion.events import HookRan, Observer

GRACE_S = 2.0  # between TERM and KILL
LONGEST = 4096  # characters of a variable: no system takes 128 KiB in one
LOOK_S = 1.0  # between two calls of meanwhile
MOST = 64 * 1024  # bytes of what a hook says that are read


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """*commands* by point, each the words of a command; *run* and *mode* go to every one of them.

    A command has *timeout_s* seconds; then it and all that it started is ended. *environment* is ours without secrets.
    *meanwhile* is called every second while one runs: moves go on, and a relay host may be lost.
    """

    commands: Mapping[HookPoint, Sequence[str]]
    timeout_s: float
    environment: Mapping[str, str]
    observer: Observer
    meanwhile: Callable[[], None] = lambda: None

    def verify(self) -> None:
        """Raise UsageError for a command that there is not: asked before anything is changed."""
        for point, words in self.commands.items():
            if shutil.which(words[0], path=self.environment.get("PATH")) is None:
                message = f"hooks.{point}: there is no command {words[0]}"
                raise UsageError(message, hint="name it with its folder; it must be executable")

    def run(self, point: HookPoint, subject: str, document: Mapping[str, Any]) -> str | None:
        """Run the hook of *point* for *subject* ("vm/web1", "wave/2", "run"), *document* on its standard input.

        Return None where there is none or it ended with 0, else why not, in a sentence.
        """
        words = self.commands.get(point)
        if words is None:
            return None
        began = time.monotonic()
        told = {"schema": 1, "hook": point, "subject": subject, **document}
        try:
            status, said = self._ended(words, point, told)
        except (OSError, ValueError) as error:  # no room for its files; a NUL in a name
            status, said = None, f"could not be started: {getattr(error, 'strerror', None) or error}"
        seconds = time.monotonic() - began
        last = _last_line(said)
        self.observer(HookRan(point=point, subject=subject, status=status, seconds=round(seconds, 3), detail=last))
        if status == 0:
            return None
        if status is None:
            return f"hook {point}: {last}"
        return f"hook {point} ended with {status}" + (f": {last}" if last else "")

    def _ended(self, words: Sequence[str], point: str, told: Mapping[str, Any]) -> tuple[int | None, str]:
        """Run the command; return its exit status, None where it has none, and the end of what it said."""
        names = {
            f"LRVMOTION_{name.upper()}": str(value)[:LONGEST]
            for name, value in told.items()
            if isinstance(value, (str, int, float))
        }
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as heard:
            given.write(json.dumps(told).encode())
            given.seek(0)
            child = subprocess.Popen(
                list(words), stdin=given, stdout=heard, stderr=subprocess.STDOUT, start_new_session=True,
                env={**self.environment, **names, "LRVMOTION_HOOK": point},
            )  # fmt: skip
            until = time.monotonic() + self.timeout_s
            try:
                while (status := _status(child, min(LOOK_S, until - time.monotonic()))) is None:
                    if time.monotonic() >= until:
                        _end(child)
                        return None, f"not ended after {self.timeout_s:g} s, and was stopped"
                    self.meanwhile()
            except BaseException:
                _end(child)
                raise
            heard.seek(max(0, heard.seek(0, os.SEEK_END) - MOST))
            return status, heard.read().decode(errors="replace")


def _status(child: subprocess.Popen[bytes], wait_s: float) -> int | None:
    """Return the exit status, None where it has not ended *wait_s* from now."""
    try:
        return child.wait(max(wait_s, 0.0))
    except subprocess.TimeoutExpired:
        return None


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started, which are a session of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):  # another user's: sudo, for one
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)


def _last_line(said: str) -> str:
    """Return the last line of *said*, fit for one line of a terminal."""
    line = said.strip().rpartition("\n")[2]
    return "".join(letter if letter.isprintable() else " " for letter in line)[:200]


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return *environment* without passwords, whosever, and the webhook's address, which may hold a token."""
    return {name: value for name, value in environment.items() if not _secret(name.upper())}


def _secret(name: str) -> bool:
    return "PASSWORD" in name or name == "LRVMOTION_WEBHOOK"
