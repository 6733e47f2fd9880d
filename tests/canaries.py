"""Looks for secrets where none may be: files, what was printed, and the process list while commands run."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

CRASH = """
import http.client
import sys
from pyVmomi import SoapAdapter, vim, vmodl
from lrvmotion.__main__ import main

real = SoapAdapter.SoapStubAdapter.InvokeMethod

def invoke(self, mo, info, args, outerStub=None):
    if info.wsdlName == "{call}":
        raise {error}
    return real(self, mo, info, args, outerStub)

SoapAdapter.SoapStubAdapter.InvokeMethod = invoke
SoapAdapter.SoapStubAdapterBase.InvokeMethod = invoke
sys.argv = ["lrvmotion", *sys.argv[1:]]
sys.exit(main())
"""
BUG = 'RuntimeError("forced")'
# Exceptions whose own text repeats the call; of other classes: test_secrets_hidden.
REPEATED = ("RuntimeError(str(args))", "KeyError(str(args))", "OSError(5, str(args))")
ECHO = 'vmodl.RuntimeFault(msg="forced", faultMessage=[vmodl.LocalizableMessage(key="k", message=str(args))])'


def needles(secrets: list[str]) -> set[bytes]:
    """Return what gives a secret away: itself, and its beginning in base64 (at any offset) and hexadecimal."""
    found = set()
    for secret in secrets:
        raw = secret.encode()
        found |= {raw, raw.hex().encode(), raw.hex().upper().encode()}
        for offset in range(3):
            text = base64.b64encode(b"\0" * offset + raw)
            found.add(text[4 if offset else 0 : len(text) - 4])  # whole groups only: the others depend on neighbours
    return found


class Watch:
    """Runs commands with *environment* and looks for *secrets* in all that they print, write and show.

    While entered, a thread looks through the process list: command lines of all, the environment of all but those
    that were given the secrets.
    """

    def __init__(self, folder: Path, config: Path, secrets: list[str], environment: dict[str, str]) -> None:
        self.folder, self.config = folder, config
        self.needles = needles(secrets)
        temporary, home = folder / "tmp", folder / "home"
        temporary.mkdir()
        home.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        self.environment = {**kept, "TMPDIR": str(temporary), "HOME": str(home), **environment}
        self.hits: list[str] = []
        self.printed = 0
        self.looks = 0
        self._given: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def spawn(self, *arguments: str, crash: str | None = None, call: str = "RelocateVM_Task") -> subprocess.Popen:
        """Run a command; *crash* is an expression, raised in place of each *call*."""
        code = ["-m", "lrvmotion"] if crash is None else ["-c", CRASH.format(error=crash, call=call)]
        child = subprocess.Popen(
            [sys.executable, *code, "--debug", "--config", str(self.config), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder,
            env=self.environment,
        )  # fmt: skip
        self._given.add(child.pid)
        return child

    def run(self, *arguments: str, status: int = 0, crash: str | None = None, call: str = "RelocateVM_Task") -> str:
        """Run a command, expect its exit *status*, and return what it printed on both."""
        with self.spawn(*arguments, crash=crash, call=call) as child:
            out, err = child.communicate(timeout=240)
        self.see(out + err, f"printed by {arguments[0]}")
        assert child.returncode == status, (arguments, child.returncode, out[-2000:], err[-4000:])
        return (out + err).decode()

    def see(self, content: bytes, where: str) -> None:
        self.printed += len(content)
        if any(needle in content for needle in self.needles):
            self.hits.append(where)

    def files(self) -> int:
        """Look through every file, archives opened; return how many there were."""
        count = 0
        for path in self.folder.rglob("*"):
            if not path.is_file():
                continue
            count += 1
            self.see(path.read_bytes(), str(path))
            if path.name.endswith(".tar.gz"):
                with tarfile.open(path) as archive:
                    for member in archive.getmembers():
                        self.see(archive.extractfile(member).read(), f"{path}: {member.name}")
        return count

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self.looks += 1
            suspects = self._shown()
            if suspects:  # a child shows its parent's environment until it has begun its own program
                self._over.wait(0.2)
                self.hits += sorted(suspects & self._shown())

    def _shown(self) -> set[str]:
        found = set()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes()
                given = int(entry.name) in self._given
                shown = words + (b"" if given else (entry / "environ").read_bytes())
                if any(needle in shown for needle in self.needles):
                    found.add(f"process {entry.name}: {words[:80]!r}")
        return found
