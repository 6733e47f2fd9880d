"""Which files of a box differ from the ones that it was made with: content, mode, owner."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

# Written by a running system without anybody's wish: logs, leases, locks, histories, byte code.
_VOLATILE_PATHS = (
    "etc/.pwd.lock", "etc/.updated", "etc/machine-id", "etc/mtab", "run", "tmp", "var/.updated", "var/cache/ldconfig",
    "var/lib/dbus", "var/lib/private", "var/lib/sudo", "var/lib/systemd", "var/log",
)  # fmt: skip
_VOLATILE_NAMES = frozenset(
    {".bash_history", ".lesshst", ".python_history", ".sudo_as_admin_successful", ".viminfo", "__pycache__"}
)
_PRIVATE_TMP = "systemd-private-"
# Made below /run by a box's own system: its init, SSH server, bus and logins, and what packages of the machine ask for
# at boot. `systemd/system` holds units of this boot, which nobody but an operator writes.
_SYSTEMS_RUN = frozenset(
    {
        "agetty.reload", "blkid", "credentials", "cryptsetup", "dbus", "initctl", "initramfs", "lock", "log",
        "lvm", "mount", "network", "sendsigs.omit.d", "shm", "sshd", "sshd.pid", "sudo", "systemd",
        "tmpfiles.d", "udev", "user", "utmp", "uuidd",
    }
)  # fmt: skip


def changed(disk: Path) -> dict[str, str]:
    """Return path -> what is there now, for everything on *disk* that differs from the day the box was made.

    *disk* holds the layers `up` (the box's own) and `base`; the machine's root lies below both. A path that is gone
    reads "deleted". A file that was written again as it had been is no difference.
    """
    upper, base = disk / "up", disk / "base"
    found: dict[str, str] = {}
    for path in _walk(upper, upper):
        relative = path.relative_to(upper)
        now = "deleted" if _whiteout(path) else _describe(path)
        lower = _lower(base, relative)
        before = "deleted" if lower is None else _describe(lower)
        if now != before:
            found[f"/{relative}"] = now
        elif path.is_dir() and not path.is_symlink() and _opaque(path):
            found[f"/{relative}"] = f"{now}, emptied"
    return found


def runtime(root: Path) -> dict[str, str]:
    """Return path -> what is there, for what is below /run of a box whose root is *root* and is not its system's."""
    run = root / "run"
    places = [path for path in sorted(run.iterdir()) if path.name not in _SYSTEMS_RUN]
    units = run / "systemd/system"
    found = [*places, *(units.iterdir() if units.is_dir() else ())]
    below = [inner for path in found if path.is_dir() and not path.is_symlink() for inner in path.rglob("*")]
    return {f"/{path.relative_to(root)}": stat.filemode(path.lstat().st_mode) for path in sorted([*found, *below])}


def _walk(folder: Path, top: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if (
            path.relative_to(top).as_posix() in _VOLATILE_PATHS
            or path.name in _VOLATILE_NAMES
            or path.name.startswith(_PRIVATE_TMP)
        ):
            continue
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path, top)


def _lower(base: Path, relative: Path) -> Path | None:
    """Return what the box saw at *relative* before it changed anything, None for nothing."""
    if os.path.lexists(base / relative):
        return base / relative
    for parent in relative.parents:
        place = base / parent
        if place.is_symlink() or (place.exists() and (not place.is_dir() or _opaque(place))):
            return None
    machine = Path("/") / relative
    return machine if os.path.lexists(machine) else None


def _opaque(folder: Path) -> bool:
    try:
        return os.getxattr(folder, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


def _whiteout(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _describe(path: Path) -> str:
    status = path.lstat()
    owner = f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid}"
    if stat.S_ISREG(status.st_mode):
        with path.open("rb") as file:
            return f"{owner} sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    if stat.S_ISLNK(status.st_mode):
        return f"{owner} -> {path.readlink()}"
    return owner
