"""Bring a lab up, say how it is, take it down."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrvmotion.lab import topology
from lrvmotion.lab.box import machine, record
from lrvmotion.lab.box.process import Process, identify
from lrvmotion.lab.client import ask
from lrvmotion.lab.errors import LabError
from lrvmotion.lab.estate import document
from lrvmotion.lab.netns import box_namespace, lab_id
from lrvmotion.lab.spec import BoxSpec, LabSpec, SiteName, SiteSpec

SITES: tuple[SiteName, SiteName] = ("source", "target")
READY_S = 30.0
ROOT_HOME = Path("/run/lrvmotion-lab")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who called: files that the product reads are theirs, also when the lab was built through sudo."""

    uid: int
    gid: int

    @classmethod
    def of(cls, environment: dict[str, str]) -> Owner:
        """Return the user behind sudo, else this process's."""
        if os.geteuid() == 0 and environment.get("SUDO_UID", "").isdigit():
            return cls(uid=int(environment["SUDO_UID"]), gid=int(environment.get("SUDO_GID", "0")))
        return cls(uid=os.getuid(), gid=os.getgid())

    def give(self, path: Path) -> None:
        """Make *path* theirs."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)


def home(environment: dict[str, str]) -> Path:
    """Return the folder of all labs of this user: short, for the Unix sockets in it."""
    if os.geteuid() == 0:
        return ROOT_HOME
    runtime = environment.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "lrvmotion-lab"
    return Path(f"/tmp/lrvmotion-lab-{os.getuid()}")  # noqa: S108 - made 0700 and checked by make_home


def make_home(folder: Path) -> None:
    """Make the folder of all labs; LabError where somebody else made it."""
    folder.mkdir(mode=0o755 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        message = f"{folder} belongs to somebody else"
        raise LabError(message, "remove it, or set XDG_RUNTIME_DIR")


def new_passwords() -> tuple[str, str]:
    """Return two fresh passwords for a lab's vCenters."""
    return secrets.token_urlsafe(15), secrets.token_urlsafe(15)


def up(spec: LabSpec, directory: Path, owner: Owner, say: Say, *, estate: str | None = None) -> None:
    """Build the lab in *directory*, which must not exist; on any failure nothing is left. LabError says why.

    *estate* is the document that its vCenters are built from, where that is not *spec* alone.
    """
    if directory.exists():
        message = f"the lab {spec.name!r} is up already"
        raise LabError(message, f"'lrvmotion lab down --name {spec.name}' takes it down, --name builds another")
    if spec.net:
        topology.check()
    try:
        make_home(directory.parent)
        directory.mkdir(mode=0o755)
    except FileNotFoundError:  # a `down` of the last lab there removed the folder meanwhile
        make_home(directory.parent)
        directory.mkdir(mode=0o755)
    try:
        if estate is not None:
            (directory / document.FILE).touch(mode=0o600)
            (directory / document.FILE).write_text(estate)
        _build(spec, directory, owner, say)
    except BaseException as error:
        with contextlib.suppress(LabError, OSError):
            down(directory)
        if isinstance(error, LabError) and str(directory) in error.hint:  # a log that is gone now
            raise LabError(str(error), "nothing of the lab was left behind") from error
        raise


def _build(spec: LabSpec, directory: Path, owner: Owner, say: Say) -> None:
    spec.write(directory / "spec.json")
    (directory / "spec.json").chmod(0o600)
    for name in SITES:
        (directory / name).mkdir()
        password = directory / name / "password"
        password.touch(mode=0o600)
        password.write_text(spec.site(name).password + "\n")
        owner.give(password)
    (directory / "state").mkdir(mode=0o700)
    owner.give(directory / "state")
    say("network and hosts" if spec.net else "hosts on loopback; no network is emulated")
    topology.build(spec, directory)
    boxes = [(site, box) for site in SITES for box in spec.site(site).boxes] if spec.net else []
    say("vCenters" + (" and relay hosts" if boxes else ""))
    with ThreadPoolExecutor(max_workers=4) as pool:
        started = [
            pool.submit(machine.start, box, box_namespace(spec, site, box.name), directory, lab_id(spec), index)
            for index, (site, box) in enumerate(boxes)
        ]
        centers = [pool.submit(_start_vcenter, directory, name) for name in SITES]
        for job in centers:
            job.result()
        for box in [job.result() for job in started]:
            _hand_key(Path(box.private_key), key_file(directory, box.name), owner)


def key_file(directory: Path, box: str) -> Path:
    """Return the key to log in to *box* with; the box's own folder is root's alone, so it lies beside it."""
    return directory / f"{box}.key"


def _hand_key(made: Path, handed: Path, owner: Owner) -> None:
    handed.touch(mode=0o600)
    handed.write_bytes(made.read_bytes())
    owner.give(handed)


def kill_vcenter(directory: Path, site: SiteName) -> None:
    """End the vCenter of *site* as a crash would (SIGKILL); LabError where it does not run. Its hosts go on."""
    process = _process(directory, site)
    if process is None:
        message = f"the vCenter of {site} is not running"
        raise LabError(message, f"'lrvmotion lab start {site}' starts it")
    process.end(signal.SIGKILL, READY_S)


def start_vcenter(directory: Path, site: SiteName) -> None:
    """Start the vCenter of *site* again, at its address and as it was; LabError where it runs."""
    if _process(directory, site) is not None:
        message = f"the vCenter of {site} is running"
        raise LabError(message, f"'lrvmotion lab kill {site}' ends it")
    ready = directory / site / "vcenter.json"
    if not ready.exists():
        raise _none(directory)
    port = json.loads(ready.read_text())["port"]
    ready.unlink()
    _start_vcenter(directory, site, "--port", str(port))


def _start_vcenter(directory: Path, site: SiteName, *more: str) -> None:
    with (directory / site / "vcenter.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "lrvmotion.lab.vcenter", "--lab", str(directory), "--site", site, *more],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    known = identify(child.pid)
    if known is not None:
        _remember(directory, site, known)
    deadline = time.monotonic() + READY_S
    while not (directory / site / "vcenter.json").exists():
        if child.poll() is not None or time.monotonic() > deadline:
            tail = (directory / site / "vcenter.log").read_text(errors="replace").strip().splitlines()[-1:]
            message = f"the simulated vCenter of {site} did not start: {' '.join(tail)}"
            raise LabError(message, f"see {directory / site / 'vcenter.log'}")
        time.sleep(0.05)


def _remember(directory: Path, site: SiteName, process: Process) -> None:
    path = directory / site / "process.json"
    path.write_text(json.dumps({"pid": process.pid, "start": process.start}))


def _process(directory: Path, site: SiteName) -> Process | None:
    try:
        found = Process(**json.loads((directory / site / "process.json").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return found if found.alive else None


def down(directory: Path) -> None:
    """Take the lab in *directory* down, whatever of it is still there; LabError where there is none."""
    if not (directory / "spec.json").exists():
        if directory.exists():
            shutil.rmtree(directory)
            return
        raise _none(directory)
    spec = LabSpec.read(directory / "spec.json")
    for site in SITES:
        _end(_process(directory, site))
        for box in spec.site(site).boxes:
            with contextlib.suppress(FileNotFoundError):
                machine.stop(record.read(record.record_path(directory, box.name)))
    topology.remove(spec, directory)
    _forget_configuration(directory)
    shutil.rmtree(directory)
    with contextlib.suppress(OSError):  # other labs are in it
        directory.parent.rmdir()


def write_configuration(spec: LabSpec, directory: Path, file: Path, owner: Owner) -> None:
    """Write the lab's configuration to *file*; `down` removes it as long as it is still what was written."""
    text = configuration(spec, directory)
    file.write_text(text)
    owner.give(file)
    (directory / "configuration.json").write_text(json.dumps({"file": str(file.resolve()), "text": text}))


def writer(labs: Path, file: Path) -> str | None:
    """Return the name of the lab in the folder *labs* that is up and has written *file*; None where none has."""
    for known in sorted(labs.glob("*/configuration.json")):
        with contextlib.suppress(OSError, ValueError, KeyError):
            if json.loads(known.read_text())["file"] == str(file.resolve()):
                return known.parent.name
    return None


def _forget_configuration(directory: Path) -> None:
    """Remove the configuration that `up` wrote: it leads nowhere now; one that somebody edited stays."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        wrote = json.loads((directory / "configuration.json").read_text())
        if Path(wrote["file"]).read_text() == wrote["text"]:
            Path(wrote["file"]).unlink()


def _none(directory: Path) -> LabError:
    """Return the error that no such lab is up; root's labs are root's to show and to take down."""
    message = f"no lab {directory.name!r} is up"
    if os.geteuid() != 0 and (ROOT_HOME / directory.name).exists():
        return LabError(f"the lab {directory.name!r} is root's", "put sudo before the command")
    try:
        others = sorted(entry.name for entry in directory.parent.iterdir() if entry.is_dir())
    except OSError:
        others = []
    if others:
        return LabError(message, f"up: {', '.join(others)}; --name chooses")
    return LabError(message, "'lrvmotion lab up' builds one")


def _end(process: Process | None) -> None:
    if process is None:
        return
    os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + 5.0
    while process.alive and time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
        time.sleep(0.02)
    if process.alive:
        os.kill(process.pid, signal.SIGKILL)


def status(directory: Path) -> dict[str, Any]:
    """Return how the lab is: vCenters, hosts with their vmknics, relay hosts, the circuit."""
    if not (directory / "spec.json").exists():
        raise _none(directory)
    spec = LabSpec.read(directory / "spec.json")
    found: dict[str, Any] = {"name": spec.name, "net": spec.net, "directory": str(directory), "sites": {}}
    for site in SITES:
        about = json.loads((directory / site / "vcenter.json").read_text())
        running = _process(directory, site) is not None
        entry: dict[str, Any] = {"vcenter": about["url"], "running": running}
        if running:
            entry["state"] = ask(directory / site / "control.sock", "state")
        entry["relay_hosts"] = {
            box.name: machine.status(record.read(record.record_path(directory, box.name)))
            for box in spec.site(site).boxes
        }
        found["sites"][site] = entry
    if spec.net:
        found["wan"] = ask(directory / "wire.sock", "report")
    return found


def configuration(spec: LabSpec, directory: Path) -> str:
    """Return the lab's configuration for the product, as anyone would write it for their own site."""
    parts = ["# Written by 'lrvmotion lab up': an ordinary configuration; nothing in it says that it is a lab.", ""]
    parts += [f'state_dir = "{directory / "state"}"', ""]
    pools = {"source": "10.88.0.20-10.88.0.59", "target": "10.99.0.20-10.99.0.59"}
    for name in SITES:
        parts += _site(spec.site(name), directory, spec.site(name).new_vmknics or (pools[name],))
    for box in spec.source.boxes:
        parts += ["[[relay.source]]", *_box(box, directory), ""]
    for box in spec.target.boxes:
        parts += ["[relay.target]", *_box(box, directory), "forward = false", ""]
    return "\n".join(parts)


def _box(box: BoxSpec, directory: Path) -> list[str]:
    known = record.read(record.record_path(directory, box.name))
    return [
        f'name = "{box.name}"',
        f'host = "{known.address}"',
        f"port = {known.port}",
        'user = "root"',
        f'key_file = "{key_file(directory, box.name)}"',
        f'host_key = "{known.host_key}"',
        f'address = "{box.address}"',
    ]


def _site(site: SiteSpec, directory: Path, addresses: Sequence[str]) -> list[str]:
    about = json.loads((directory / site.name / "vcenter.json").read_text())
    return [
        f"[{site.name}]",
        f'vcenter = "{about["host"]}"',
        f"port = {about['port']}",
        f'username = "{site.username}"',
        f'password_file = "{directory / site.name / "password"}"',
        f'sha256 = "{about["sha256"]}"',
        "",
        f"[{site.name}.vmotion]",
        f"addresses = {json.dumps(list(addresses))}",
        "",
    ]
