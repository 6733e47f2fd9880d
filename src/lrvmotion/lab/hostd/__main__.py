"""`python -m lrvmotion.lab.hostd --lab DIR --site S --host H`: one simulated host until SIGTERM."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from lrvmotion.lab.hostd.operations import Host
from lrvmotion.lab.rpc import Server
from lrvmotion.lab.spec import LabSpec


def main() -> None:
    """Serve the host's socket in the current network namespace."""
    parser = argparse.ArgumentParser(prog="python -m lrvmotion.lab.hostd")
    parser.add_argument("--lab", type=Path, required=True, help="the lab's folder")
    parser.add_argument("--site", required=True, choices=("source", "target"))
    parser.add_argument("--host", required=True)
    options = parser.parse_args()
    spec = LabSpec.read(options.lab / "spec.json")
    folder = options.lab / options.site
    folder.mkdir(parents=True, exist_ok=True)
    host = Host(options.lab, options.site, options.host, net=spec.net)
    server = Server(folder / f"{options.host}.sock", host.handle)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    server.run()
    host.close()


if __name__ == "__main__":
    main()
