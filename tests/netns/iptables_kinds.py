"""Both kinds of iptables, unpacked for the tests, never installed: namespaces and relayd find them by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import pytest

from lrvmotion.lab.box.disk.layer import link_iptables
from lrvmotion.lab.box.disk.packages import cache_folder, unpacked

Kind = Literal["nft", "legacy"]
KINDS: tuple[Kind, ...] = ("nft", "legacy")


def use(kind: Kind, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Let `iptables`, `ip6tables-save` and so on be of *kind* for every process that starts from now on."""
    root = unpacked("iptables", f"/usr/sbin/iptables-{kind}", cache_folder())
    programs = Path("/usr/sbin")
    if root is not None:
        programs = root / "usr/sbin"
        [libraries] = root.glob("usr/lib/*-linux-gnu*")
        patch.setenv("LD_LIBRARY_PATH", str(libraries))
        patch.setenv("XTABLES_LIBDIR", str(libraries / "xtables"))
    links = folder / f"iptables-{kind}"
    links.mkdir()
    link_iptables(links, programs, kind)
    patch.setenv("PATH", f"{links}:{os.environ['PATH']}")
