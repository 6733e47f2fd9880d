"""Debian's packages in a box that runs: unpacked into its own layer, as its SSH server is, never installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lrvmotion.lab.box import machine
from lrvmotion.lab.box.disk import packages
from lrvmotion.lab.box.record import BoxError, BoxRecord


def root_of(record: BoxRecord) -> Path:
    """Return where the machine sees the box's root."""
    assert record.init is not None
    return Path(f"/proc/{record.init.pid}/root")


def add(record: BoxRecord, package: str, program: str) -> None:
    """Unpack *package* into the box where that has no *program*; skip the test where it cannot be had."""
    root = root_of(record)
    if (root / program.lstrip("/")).exists():
        return
    try:
        folder = packages.unpacked(package, program, packages.cache_folder())
    except BoxError as error:
        pytest.skip(str(error))
    assert folder is not None
    for top in folder.iterdir():
        shutil.copytree(top, root / top.name, symlinks=True, dirs_exist_ok=True)


def add_iptables(record: BoxRecord, kind: str = "nft") -> None:
    """Add iptables, its plain names standing for *kind*: "nft" or "legacy", as update-alternatives would have it."""
    add(record, "iptables", f"/usr/sbin/iptables-{kind}")
    folder = root_of(record) / "usr/sbin"
    for name in ("iptables", "ip6tables"):
        for end in ("", "-save", "-restore"):
            (folder / f"{name}{end}").unlink(missing_ok=True)
            (folder / f"{name}{end}").symlink_to(f"{name}-{kind}{end}")


def run(record: BoxRecord, script: str) -> str:
    """Run a shell script in the box as root; return what it prints."""
    done = machine.run(record, ["sh", "-ec", script])
    assert done.returncode == 0, done.stderr
    return done.stdout
