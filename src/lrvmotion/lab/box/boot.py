"""Turn this process, PID 1 of a new pid namespace, into the box's init: file systems, root, name, exec."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path
from typing import NoReturn

from lrvmotion.lab.box import init, kernel
from lrvmotion.lab.box.disk.layer import PATH

SYSTEMD = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")

# Whatever the kernel's defaults: a changed file lies whole in the upper layer, and nowhere else.
OVERLAY = "redirect_dir=off,metacopy=off,index=off"

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
# CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_TIME of linux/capability.h: modules, ports and clock are the machine's.
_MACHINES_OWN = (16, 17, 25)
_GOVERNORS = "performance powersave\n"


def boot(*, disk: Path, hostname: str, cgroup: Path | None, governor: bool, systemd: bool) -> NoReturn:
    """Become the box's init; never returns.

    *disk* holds the mounted overlay `root`; *cgroup* is a folder of the machine's cgroup2 that becomes the box's whole
    hierarchy (None: it sees none, and systemd cannot run). OSError where the kernel refuses a step.
    """
    kernel.die_with_parent(signal.SIGKILL)
    if cgroup is not None:
        (cgroup / "cgroup.procs").write_text("0")
        kernel.unshare(kernel.NEWCGROUP)
    # Here, not in the parent: the change of root below would change it for every process in the namespace.
    kernel.unshare(kernel.NEWNS | kernel.NEWUTS | kernel.NEWIPC)
    kernel.make_private()
    root = disk / "root"
    _mount_all(root, with_cgroup=cgroup is not None)
    if governor:
        _show_governor(disk, root)
    kernel.set_hostname(hostname)
    kernel.pivot_root(str(root))
    for capability in _MACHINES_OWN:
        kernel.drop_capability(capability)
    os.umask(0o022)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if systemd:
        program = next(path for path in SYSTEMD if Path(path).exists())
        os.execve(program, [program], {"container": "lxc", "PATH": PATH})  # noqa: S606
    init.serve()


def _mount_all(root: Path, *, with_cgroup: bool) -> None:
    quiet = kernel.NOSUID | kernel.NODEV
    inert = quiet | kernel.NOEXEC
    for name in ("proc", "sys", "dev", "run", "tmp"):
        (root / name).mkdir(exist_ok=True)
    kernel.mount("proc", f"{root}/proc", "proc", flags=inert)
    _guard_kernel_settings(f"{root}/proc")
    kernel.mount("sysfs", f"{root}/sys", "sysfs", flags=inert | kernel.RDONLY)
    if with_cgroup:
        kernel.mount("cgroup2", f"{root}/sys/fs/cgroup", "cgroup2", flags=inert)
    kernel.mount("tmpfs", f"{root}/run", "tmpfs", flags=quiet, options="mode=755,size=128m")
    kernel.mount("tmpfs", f"{root}/tmp", "tmpfs", flags=quiet, options="mode=1777,size=512m")  # noqa: S108
    (root / "run/lock").mkdir(mode=0o755)
    _make_devices(root)


def _guard_kernel_settings(proc: str) -> None:
    """Leave of /proc/sys only net/ writable: the rest is the whole machine's."""
    kernel.bind(f"{proc}/sys", f"{proc}/sys", flags=kernel.RDONLY)
    kernel.bind(f"{proc}/sys/net", f"{proc}/sys/net")
    kernel.mount("none", f"{proc}/sys/net", flags=kernel.BIND | kernel.REMOUNT)
    if Path(f"{proc}/sysrq-trigger").exists():
        kernel.bind(f"{proc}/sysrq-trigger", f"{proc}/sysrq-trigger", flags=kernel.RDONLY)


def _make_devices(root: Path) -> None:
    dev = root / "dev"
    kernel.mount("tmpfs", str(dev), "tmpfs", flags=kernel.NOSUID, options="mode=755,size=4m")
    for name in _DEVICES:
        # Bound, not made: a container may not be allowed to make device nodes.
        (dev / name).touch()
        kernel.bind(f"/dev/{name}", str(dev / name))
    for name, target in (
        ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx"),
    ):  # fmt: skip
        (dev / name).symlink_to(target)
    (dev / "pts").mkdir()
    (dev / "shm").mkdir()
    kernel.mount(
        "devpts", f"{dev}/pts", "devpts",
        flags=kernel.NOSUID | kernel.NOEXEC, options="newinstance,mode=620,ptmxmode=666,gid=5",
    )  # fmt: skip
    kernel.mount("tmpfs", f"{dev}/shm", "tmpfs", flags=kernel.NOSUID | kernel.NODEV, options="mode=1777,size=128m")


def _show_governor(disk: Path, root: Path) -> None:
    """Give every CPU a cpufreq folder of plain files, laid out like the kernel's; new at each boot.

    The files are no driver: they take any text, with or without a newline, and give it back as it is.
    """
    layer, work = disk / f"cpu-{os.urandom(4).hex()}", disk / f"cpu-{os.urandom(4).hex()}"
    work.mkdir()
    (layer / "cpufreq").mkdir(parents=True)
    os.setxattr(layer / "cpufreq", "trusted.overlay.opaque", b"y")
    cpus = Path("/sys/devices/system/cpu")
    for cpu in sorted(cpus.glob("cpu[0-9]*")):
        policy = layer / "cpufreq" / f"policy{cpu.name[3:]}"
        policy.mkdir()
        (policy / "scaling_governor").write_text("powersave\n")
        (policy / "scaling_available_governors").write_text(_GOVERNORS)
        (policy / "scaling_available_governors").chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
        (layer / cpu.name).mkdir()
        (layer / cpu.name / "cpufreq").symlink_to(f"../cpufreq/{policy.name}")
    kernel.mount(
        "overlay", f"{root}{cpus}", "overlay", flags=kernel.NOSUID | kernel.NODEV | kernel.NOEXEC,
        options=f"lowerdir={cpus},upperdir={layer},workdir={work}",
    )  # fmt: skip
