"""Start a relay host, switch it off and on, run commands in it, take it down without a trace."""

from __future__ import annotations

import hashlib
import os
import select
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

from lrvmotion.lab.box import management, ready
from lrvmotion.lab.box.baseline import Baseline
from lrvmotion.lab.box.boot import SYSTEMD
from lrvmotion.lab.box.cgroup import create_cgroup, remove_cgroup
from lrvmotion.lab.box.disk import packages
from lrvmotion.lab.box.disk.keys import fingerprint, make_key
from lrvmotion.lab.box.disk.layer import PATH, Layer
from lrvmotion.lab.box.enter import run
from lrvmotion.lab.box.keeper import Order
from lrvmotion.lab.box.process import identify
from lrvmotion.lab.box.record import BoxError, BoxRecord, record_path
from lrvmotion.lab.spec import BoxSpec

__all__ = ["power_off", "power_on", "reboot", "run", "start", "status", "stop"]

Status = Literal["running", "off", "gone"]

_TOOLS = ("ip", "nsenter")
_DISK_S = 20.0
_END_S = 5.0
_SHUTDOWN_S = 10.0


def start(
    box: BoxSpec,
    namespace: str,
    directory: Path,
    lab_id: str,
    index: int,
    *,
    governor: bool = True,
) -> BoxRecord:
    """Start *box* in the network namespace *namespace* and wait until one can log in to it.

    *directory* is the lab's and exists; *index* tells the lab's boxes apart. With *governor*, the box shows a CPU
    frequency governor. Where systemd does not come up, the small init runs and the record says why. BoxError when the
    box cannot be started; nothing is left behind then.
    """
    _check(box, namespace, directory)
    folder = directory.resolve() / box.name
    folder.mkdir(mode=0o700)
    (folder / "disk").mkdir()
    try:
        record = _prepare(box, namespace, folder, lab_id, index, governor=governor)
    except BaseException:
        management.disconnect(namespace, management.device_name(lab_id, index))
        shutil.rmtree(folder)
        raise
    try:
        record = _launch(record)
        record.write()
        record = _first_boot(record, systemd=box.systemd)
        record.write()
        _hand_over(record)
    except BaseException:
        stop(record)
        raise
    return record


def status(record: BoxRecord) -> Status:
    """Return whether the box runs, is powered off, or is gone (never to come back)."""
    if record.outer is None or not record.outer.alive:
        return "gone"
    return "off" if record.init is None else "running"


def stop(record: BoxRecord) -> None:
    """Take the box down and remove all that it was: processes, mounts, link, files; safe to repeat."""
    init = record.init
    outer = record.outer
    if outer is not None and not outer.end(signal.SIGTERM, _END_S):
        outer.end(signal.SIGKILL, _END_S)
    if init is not None:
        # It dies with the outer process; its mounts and sockets are gone only when it is.
        init.end(signal.SIGKILL, _END_S)
    management.disconnect(record.namespace, record.device)
    remove_cgroup(record.cgroup, wait_s=_END_S)
    shutil.rmtree(record.folder, ignore_errors=True)
    record.path.unlink(missing_ok=True)


def power_off(record: BoxRecord) -> None:
    """Pull the plug: every process of the box ends at once and its network goes dead; the disk stays."""
    _alive(record)
    init = record.init
    if init is not None and not init.end(signal.SIGKILL, _END_S):
        message = f"the box {record.name} does not end"
        raise BoxError(message)
    _wait_until_dead(record)


def power_on(record: BoxRecord) -> None:
    """Power a box that is off on again: same disk, its network as on the first day; wait as *start* does."""
    _alive(record)
    if record.init is not None:
        message = f"the box {record.name} runs already"
        raise BoxError(message)
    _wait_until_dead(record)
    Baseline.read(record.folder / "baseline.json").put_back(record.namespace)
    _switch_on(record, systemd=record.systemd)


def reboot(record: BoxRecord) -> None:
    """Shut the box down in order, for 10 s at most, and power it on again; wait as *start* does."""
    init = record.init
    if init is not None:
        # SIGRTMIN+4 is systemd's "power off" (systemd(1)); the small init ends on SIGTERM.
        init.end(signal.SIGRTMIN + 4 if record.systemd else signal.SIGTERM, _SHUTDOWN_S)
    power_off(record)
    power_on(record)


def _check(box: BoxSpec, namespace: str, directory: Path) -> None:
    if os.geteuid() != 0:
        message = "a relay host needs root: it is made of namespaces and mounts"
        raise BoxError(message, "use sudo")
    for tool in _TOOLS:
        if shutil.which(tool) is None:
            message = f"{tool} is not on this machine"
            raise BoxError(message, "install iproute2 and util-linux")
    if not Path("/run/netns", namespace).exists():
        message = f"there is no network namespace {namespace}"
        raise BoxError(message)
    if record_path(directory, box.name).exists() or (directory / box.name).exists():
        message = f"the box {box.name} is there already"
        raise BoxError(message, "take the lab down first")


def _prepare(box: BoxSpec, namespace: str, folder: Path, lab_id: str, index: int, *, governor: bool) -> BoxRecord:
    """Fetch, make keys, link and order; return the record of a box that has no process yet."""
    cache = packages.cache_folder()
    roots = [packages.unpacked("openssh-server", "/usr/sbin/sshd", cache)]
    if box.iptables is not None:
        roots.append(packages.unpacked("iptables", f"/usr/sbin/iptables-{box.iptables}", cache))
    users = ["root"]
    try:
        roots.append(packages.unpacked("sudo", "/usr/bin/sudo", cache))
        users.append("relay")
    except BoxError:
        pass  # without sudo, an unprivileged user of the box is of no use
    host_key = make_key(folder / "host_key")
    user_key = make_key(folder / "id_ed25519")
    link = management.connect(namespace, lab_id, index)
    Baseline.take(namespace).write(folder / "baseline.json")
    cgroup, why = create_cgroup(f"lrvmotion-{management.device_name(lab_id, index)}")
    order = Order(
        folder=str(folder),
        namespace=namespace,
        cgroup=cgroup,
        governor=governor,
        layer=Layer(
            hostname=box.name,
            machine_id=hashlib.sha256(f"{lab_id}/{box.name}".encode()).hexdigest()[:32],
            address=link.address,
            host_key_file=str(folder / "host_key"),
            authorized_key=user_key,
            users=tuple(users),
            packages=tuple(str(root) for root in roots if root is not None),
            iptables=box.iptables or "",
        ),
    )
    order.write(folder / "order.json")
    return BoxRecord(
        name=box.name,
        lab_id=lab_id,
        namespace=namespace,
        directory=str(folder.parent),
        network=str(link.network),
        address=link.address,
        machine_address=link.machine_address,
        device=link.device,
        users=tuple(users),
        private_key=str(folder / "id_ed25519"),
        host_key=host_key,
        fingerprint=fingerprint(host_key),
        cgroup=cgroup,
        why_no_systemd=why,
    )


def _launch(record: BoxRecord) -> BoxRecord:
    """Start the outer process and wait until it has made the disk."""
    log = record.folder / "console.log"
    get, put = os.pipe()
    # Not subprocess: it outlives this process on purpose, and nobody here waits for it.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, put, 1),
        (os.POSIX_SPAWN_OPEN, 2, str(log), flags, 0o600),
    ]
    order = str(record.folder / "order.json")
    argv = [sys.executable, "-m", "lrvmotion.lab.box.keeper", order]
    try:
        # No byte code: root would leave it in the user's clone.
        source = str(Path(__file__).parents[3])
        environment = {"PATH": PATH, "PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1"}
        pid = os.posix_spawn(argv[0], argv, environment, file_actions=actions, setsid=True)
    finally:
        os.close(put)
    with os.fdopen(get, "rb") as answer:
        process = identify(pid)
        said = answer.readline() if select.select([answer], [], [], _DISK_S)[0] else b""
    if process is None or said != b"ready\n":
        if process is not None:
            process.end(signal.SIGKILL, _END_S)
        message = f"the box {record.name} has no disk: {ready.last_line(record)}"
        raise BoxError(message)
    return replace(record, outer_pid=process.pid, outer_start=process.start)


def _first_boot(record: BoxRecord, *, systemd: bool) -> BoxRecord:
    why = record.why_no_systemd
    if not systemd:
        why = "not wanted"
    elif not why and not any(Path(path).exists() for path in SYSTEMD):
        why = "this machine has none"
    if not why:
        try:
            record = replace(record, systemd=True)
            _switch_on(record, systemd=True)
        except BoxError as error:
            why = str(error)
            record = replace(record, systemd=False)
            power_off(record)
            Baseline.read(record.folder / "baseline.json").put_back(record.namespace)
        else:
            return record
    _switch_on(record, systemd=False)
    return replace(record, systemd=False, why_no_systemd=why)


def _hand_over(record: BoxRecord) -> None:
    """Give the box's files to the owner of the lab's directory, who under sudo is not root."""
    owner = Path(record.directory).stat()
    for path in (record.path, record.folder, *record.folder.iterdir()):
        os.chown(path, owner.st_uid, owner.st_gid)


def _switch_on(record: BoxRecord, *, systemd: bool) -> None:
    outer = _alive(record)
    os.kill(outer, signal.SIGUSR1 if systemd else signal.SIGUSR2)
    ready.wait_for_init(record)
    if systemd:
        ready.wait_for_systemd(record)
    ready.wait_for_ssh(record)


def _wait_until_dead(record: BoxRecord) -> None:
    """Wait until the outer process has seen the init end and taken the links down."""
    deadline = time.monotonic() + _END_S
    while (record.folder / "init.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def _alive(record: BoxRecord) -> int:
    if record.outer is None or not record.outer.alive:
        message = f"the box {record.name} is gone"
        raise BoxError(message, "take the lab down and up again")
    return record.outer.pid
