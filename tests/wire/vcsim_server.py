"""govmomi's vCenter simulator: built where Debian's Go and govmomi are there, and run.

`apt-get install --no-install-recommends golang-go golang-github-vmware-govmomi-dev` brings what it needs. The binary is
kept in the user's cache, under the hash of what it was built from; LRVMOTION_VCSIM names another one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_path

from wire.tls_server import make_certificate

MAIN = Path(__file__).with_name("vcsim.go")
GOPATH = Path("/usr/share/gocode")  # where Debian puts the sources of Go libraries
LIBRARIES = ("github.com/vmware/govmomi", "github.com/google/uuid")


class NoVcsimError(Exception):
    """There is no simulator here; the message says why."""


def binary() -> Path:
    """Return the simulator's binary, built if it must be (36 s); NoVcsimError where that is not possible here."""
    named = os.environ.get("LRVMOTION_VCSIM")
    if named:
        return Path(named)
    go = shutil.which("go")
    if go is None:
        message = "no Go compiler (Debian: golang-go)"
        raise NoVcsimError(message)
    for library in LIBRARIES:
        if not (GOPATH / "src" / library).is_dir():
            message = f"no {library} in {GOPATH} (Debian: golang-github-vmware-govmomi-dev)"
            raise NoVcsimError(message)
    folder = user_cache_path("lrvmotion-tests")
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"vcsim-{_hash(go)}"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs side by side build it once
        if not made.exists():
            _build(go, made)
            for old in folder.glob("vcsim-*"):
                if old != made:
                    old.unlink()
    return made


def _hash(go: str) -> str:
    sources = [MAIN, *sorted((GOPATH / "src" / LIBRARIES[0] / "simulator").glob("*.go"))]
    found = hashlib.sha256(subprocess.run([go, "version"], capture_output=True, check=True).stdout)
    for source in sources:
        found.update(source.read_bytes())
    return found.hexdigest()[:16]


def _build(go: str, made: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="vcsim-build-") as scratch:
        ours = {"GO111MODULE": "off", "GOPATH": str(GOPATH), "GOCACHE": scratch, "GOFLAGS": "", "CGO_ENABLED": "0"}
        fresh = made.with_suffix(".new")
        done = subprocess.run(
            [go, "build", "-o", fresh, MAIN],
            env={**os.environ, **ours},
            cwd=scratch,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            message = f"vcsim.go does not build: {done.stderr.strip()[-400:]}"
            raise NoVcsimError(message)
        fresh.replace(made)


@contextmanager
def vcsim(program: Path, folder: Path, machines: int) -> Iterator[tuple[str, int]]:
    """Run a simulator with *machines* VMs in each pool, its files in *folder*; give its host and port."""
    folder.mkdir(exist_ok=True)
    certificate = make_certificate(folder, "vcsim")  # its own has a 1024-bit key, which OpenSSL refuses
    environment = {**os.environ, "TMPDIR": str(folder)}  # it leaves files in its temporary folder
    argv = [program, certificate, str(machines)]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as process,
    ):
        assert process.stdout is not None
        host, _, port = process.stdout.readline().strip().partition(":")
        try:
            yield host, int(port)
        finally:
            process.kill()
