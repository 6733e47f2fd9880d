"""`python -m lrvmotion.lab.wire --lab DIR`: the WAN of a lab until SIGTERM."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import os
import signal
import subprocess
import threading
from pathlib import Path

from lrvmotion.lab.netns import router_namespace
from lrvmotion.lab.rpc import Server
from lrvmotion.lab.spec import LabSpec
from lrvmotion.lab.wire.pump import Pump
from lrvmotion.lab.wire.tap import open_tap

DEVICE = "wan0"
_PR_SET_TIMERSLACK = 29


def main() -> None:
    """Make both ends, carry frames, answer on wire.sock."""
    parser = argparse.ArgumentParser(prog="python -m lrvmotion.lab.wire")
    parser.add_argument("--lab", type=Path, required=True, help="the lab's folder")
    options = parser.parse_args()
    spec = LabSpec.read(options.lab / "spec.json")
    namespaces = [router_namespace(spec, "source"), router_namespace(spec, "target")]
    source, target = (open_tap(namespace, DEVICE) for namespace in namespaces)
    _be_prompt()
    pump = Pump(spec.wan, source, target, lambda: [_drops(namespace) for namespace in namespaces])
    server = Server(options.lab / "wire.sock", pump.handle)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: pump.stop())
    threading.Thread(target=_serve, args=(server, pump), daemon=True).start()
    with contextlib.suppress(OSError):  # the devices go with their namespaces: nothing left to carry
        pump.run()
    server.stop()


def _serve(server: Server, pump: Pump) -> None:
    server.run()
    pump.stop()


def _be_prompt() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    gc.disable()  # nothing here makes cycles, and a collection would make frames late


def _drops(namespace: str) -> int:
    """Return how many frames the device could not hand to this process."""
    done = subprocess.run(
        ["ip", "-n", namespace, "-j", "-s", "link", "show", "dev", DEVICE],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        return 0  # the namespace is going away
    return int(json.loads(done.stdout)[0]["stats64"]["tx"]["dropped"])


if __name__ == "__main__":
    main()
