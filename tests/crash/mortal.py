"""The real command line in a process that dies by SIGKILL at one chosen point, or writes down all points it passes.

    python -m crash.mortal --tape FILE | --die LABEL NTH  -- lrvmotion's own arguments

LABEL * is any.

Nothing of the product knows of it: its seams (Journal's opener, Target.write, Mover.start and updates, the Shell) and
those of pyVmomi and paramiko (a call, a request that was sent, an SSH command) are wrapped from outside.
"""

from __future__ import annotations

import functools
import io
import json
import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

# What differs from run to run: the run's id, hashes, moIds. A label must be the same in each.
_VARIES = (
    (re.compile(r"\b(lrvmotion(?:-relay)?[-_])[a-z0-9]{6}\b"), r"\1RUN"),
    (re.compile(r"\b[0-9a-f]{12,}\b"), "HASH"),
    (re.compile(r"-[0-9a-f]{8}\.json"), "-HASH.json"),
    (re.compile(r"(vmknic|vmotion-service|gateway)/[0-9a-f.:]+"), r"\1/ADDRESS"),  # from a pool, in any order
)
TICK_S = 0.4
TICKS = 6


class Reaper:
    """Counts the points that are passed, by label; dies at one."""

    def __init__(self, label: str | None, nth: int, tape: Path | None) -> None:
        self._label = label
        self._nth = nth
        self._tape = tape.open("a", buffering=1) if tape else None
        self._passed: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._inside = threading.local()

    def __call__(self, label: str) -> None:
        label = _plain(label)
        with self._lock:
            self._passed[label] += 1
            if self._tape is not None:
                self._tape.write(json.dumps(label) + "\n")
            passed = self._passed.total() if self._label == "*" else self._passed[label]
            if self._label in {label, "*"} and passed == self._nth:
                os.kill(os.getpid(), signal.SIGKILL)

    @property
    def within(self) -> str:
        """What this thread is in the middle of: "write source/esx-a1 option/x > ", or nothing."""
        return "".join(f"{name} > " for name in getattr(self._inside, "names", ()))

    def around(self, name: str, call, *arguments, **more):
        """Call, with points before and after; points inside bear its name."""
        names = getattr(self._inside, "names", ())
        self(f"{self.within}{name} | before")
        self._inside.names = (*names, name)
        try:
            result = call(*arguments, **more)
        finally:
            self._inside.names = names
        self(f"{self.within}{name} | after")
        return result


class TornFile(io.RawIOBase):
    """The journal's file, which may take half of a line only, or a line that is never synced."""

    def __init__(self, file, reap: Reaper) -> None:
        self._file = file
        self._reap = reap
        self._name = ""

    def write(self, data) -> int:
        line = bytes(data)
        self._name = _record(line)
        self._reap(f"journal {self._name} | before")
        half = len(line) // 2
        self._file.write(line[:half])
        self._reap(f"journal {self._name} | torn")
        self._file.write(line[half:])
        self._reap(f"journal {self._name} | not synced")
        return len(line)

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()
        super().close()


def _record(line: bytes) -> str:
    record = json.loads(line)
    body = record["body"]
    words = (record["kind"], body.get("target") or body.get("name"), body.get("key"), body.get("state"))
    return " ".join(str(word) for word in words if word)


def arm(reap: Reaper) -> None:
    """Wrap the seams."""
    _arm_journal(reap)
    _arm_targets(reap)
    _arm_vcenter(reap)
    _arm_ssh(reap)


def _wrap(owner, name: str, make) -> None:
    """Replace the method *name* of *owner* by what *make* makes of it."""
    before = getattr(owner, name)
    setattr(owner, name, functools.wraps(before)(make(before)))


def _arm_journal(reap: Reaper) -> None:
    from lrvmotion.journal import journal

    def make(before):
        def init(self, directory, clock, *, opener=journal._open):
            before(self, directory, clock, opener=lambda path: TornFile(opener(path), reap))

        return init

    _wrap(journal.Journal, "__init__", make)


def _arm_targets(reap: Reaper) -> None:
    from lrvmotion.relay.box import RelayBox
    from lrvmotion.vsphere.host.target import HostTarget
    from lrvmotion.vsphere.vm.relocate import RelocateMover

    def named(verb: str, name):
        def make(before):
            return lambda self, *arguments: reap.around(f"{verb} {name(self, arguments)}", before, self, *arguments)

        return make

    for owner in (RelayBox, HostTarget):
        _wrap(owner, "write", named("write", lambda self, arguments: f"{self.name} {arguments[0]}"))

    def started(before):
        def start(self, migration):
            task = reap.around("start a move", before, self, migration)
            _tick(reap)
            return task

        return start

    _wrap(RelocateMover, "start", started)
    _wrap(RelocateMover, "verify", named("verify", lambda self, arguments: "a move"))

    def told(before):
        def updates(self, timeout_s):
            found = before(self, timeout_s)
            for update in found:
                reap(f"update {update.state} {update.percent // 25 * 25} %")
            return found

        return updates

    _wrap(RelocateMover, "updates", told)


def _tick(reap: Reaper) -> None:
    """Pass a point every so often while the VM moves, whatever the command does then."""

    def tick() -> None:
        for number in range(1, TICKS + 1):
            time.sleep(TICK_S)
            reap(f"moving {number * TICK_S * 1000:.0f} ms")

    threading.Thread(target=tick, daemon=True).start()


def _arm_vcenter(reap: Reaper) -> None:
    from http.client import HTTPConnection

    from pyVmomi import SoapAdapter

    def called(before):
        def invoke(self, mo, info, args, outerStub=None):  # noqa: N803 - pyVmomi's name
            return reap.around(f"soap {info.wsdlName}", before, self, mo, info, args, outerStub)

        return invoke

    _wrap(SoapAdapter.SoapStubAdapter, "InvokeMethod", called)

    def sent(before):
        def answer(self):
            reap(f"{reap.within}sent")
            return before(self)

        return answer

    _wrap(HTTPConnection, "getresponse", sent)


def _arm_ssh(reap: Reaper) -> None:
    import paramiko

    from lrvmotion.ssh import SshShell

    def command(verb):
        def make(before):
            return lambda self, what, *rest, **more: reap.around(
                f"{verb} {_short(what)}", before, self, what, *rest, **more
            )

        return make

    for verb in ("run", "read", "put", "remove"):
        _wrap(SshShell, verb, command(verb))

    def begun(before):
        def run(self, text):
            before(self, text)
            reap(f"{reap.within}sent")

        return run

    _wrap(paramiko.Channel, "exec_command", begun)


def _short(what) -> str:
    """Return a path, or the first words of a command, on one line."""
    text = _plain(what if isinstance(what, str) else " ".join(what))
    return " ".join(text.split())[:60]


def _plain(text: str) -> str:
    for pattern, word in _VARIES:
        text = pattern.sub(word, text)
    return text


def main(words: list[str]) -> None:
    """Arm, and run the command."""
    at = words.index("--")
    match words[:at]:
        case ["--tape", file]:
            reap = Reaper(None, 0, Path(file))
        case ["--die", label, nth]:
            reap = Reaper(label, int(nth), None)
        case _:
            raise SystemExit(__doc__)
    arm(reap)
    sys.argv = ["lrvmotion", *words[at + 1 :]]
    from lrvmotion.__main__ import main as product

    product()


if __name__ == "__main__":
    main(sys.argv[1:])
