"""The box's control group: a folder of the machine's cgroup2 that becomes the box's whole hierarchy."""

from __future__ import annotations

import os
import time
from pathlib import Path


def create_cgroup(name: str) -> tuple[str, str]:
    """Make the group *name*; return its path and "", or "" and why there is none."""
    mounted = _mounted()
    if mounted is None:
        return "", "this machine has no cgroup2 mounted"
    path = mounted / name
    try:
        path.mkdir(exist_ok=True)  # a lab that was killed leaves an empty one behind
        if "populated 1" in (path / "cgroup.events").read_text():
            return "", f"the control group {path} is in use"
    except OSError as error:
        return "", f"this machine allows no new control group: {error}"
    return str(path), ""


def remove_cgroup(path: str, *, wait_s: float) -> None:
    """Remove the group at *path* and those below; wait up to *wait_s* seconds for the last process to leave."""
    if not path:
        return
    deadline = time.monotonic() + wait_s
    while True:
        try:
            for folder, _, _ in os.walk(path, topdown=False):
                Path(folder).rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _mounted() -> Path | None:
    """Return where cgroup2 is mounted; see proc(5), mountinfo."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] == "cgroup2":
            return Path(before.split()[4])
    return None
