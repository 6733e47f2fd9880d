"""relayd in a box of the lanes, with its configuration and its redirect, until a block ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.lanes import LAN, PORT, RELAYD_PORT, Lanes, wait_for_listener
from lrvmotion.relay import relayd
from lrvmotion.relay.redirect.render import Redirect, nft_install, nft_remove

COMMAND = (sys.executable, relayd.__file__)


@contextmanager
def relaying(
    lanes: Lanes,
    folder: Path,
    *,
    address: str,
    source: str,
    target: str,
    port: int = RELAYD_PORT,
    role: str = "box",
    redirected: bool = True,
    command: Sequence[str] = COMMAND,
    **changes: Any,  # noqa: ANN401 - keys of the configuration
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run it in *role*, its files in *folder*; yields the process and its control socket.

    With *redirected* the box's LAN is redirected to it, and it withdraws that as the shipped one does.
    """
    control = str(folder / f"{role}.sock")
    redirect = Redirect(
        table="lrvmotion_bench", sources=(source,), targets=(target,), port=PORT, listen_port=port, interface=LAN
    )
    config = {
        "schema": 1, "listen": [[address, port]], "port": PORT, "sources": [source], "targets": [target],
        "control": control, "drain_s": 0, "redirects": [redirect.guard] if redirected else [], **changes,
    }  # fmt: skip
    path, log = folder / f"{role}.json", folder / f"{role}.log"
    path.write_text(json.dumps(config))
    path.chmod(0o644)  # one runs as an account of its own
    try:
        if redirected:
            lanes.nft(nft_install(redirect))
        with lanes.running(role, *command, "--config", str(path), log=log) as process:
            wait_for_listener(process, port, log)
            yield process, control
    finally:
        if redirected:
            lanes.nft(nft_remove(redirect))
