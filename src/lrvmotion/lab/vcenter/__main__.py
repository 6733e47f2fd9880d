"""Runs one simulated vCenter until SIGTERM."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import threading
from pathlib import Path

from lrvmotion.lab.spec import LabSpec
from lrvmotion.lab.vcenter import certificate
from lrvmotion.lab.vcenter.build import build
from lrvmotion.lab.vcenter.control import ControlServer
from lrvmotion.lab.vcenter.database import Database
from lrvmotion.lab.vcenter.server import Server
from lrvmotion.lab.vcenter.vcenter import Vcenter

_WATCH_S = 1.0


def main() -> None:
    """Read DIR/spec.json, serve, write DIR/SITE/vcenter.json when ready, remove it at the end."""
    parser = argparse.ArgumentParser(prog="python -m lrvmotion.lab.vcenter")
    parser.add_argument("--lab", type=Path, required=True)
    parser.add_argument("--site", choices=("source", "target"), required=True)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    lab: Path = options.lab.resolve()
    folder = lab / options.site
    folder.mkdir(parents=True, exist_ok=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    spec = LabSpec.read(lab / "spec.json")
    cert, key = certificate.ensure(folder, spec.site(options.site).vcenter)
    pem = cert.read_text()
    vcenter = Vcenter(spec, options.site, lab, pem)
    build(vcenter)
    Database(vcenter).load()
    for host in vcenter.hosts():
        host.attach()
    control_path = folder / "control.sock"
    control = ControlServer(control_path, vcenter)
    server = Server(vcenter, options.port, cert, key)
    for item in (control, server):
        threading.Thread(target=item.serve_forever, args=(0.2,), daemon=True).start()
    ready = folder / "vcenter.json"
    port = server.server_address[1]
    vcenter.url = f"https://127.0.0.1:{port}/sdk"
    draft = ready.with_suffix(".tmp")
    draft.write_text(
        json.dumps(
            {
                "pid": os.getpid(),
                "host": "127.0.0.1",
                "port": port,
                "url": vcenter.url,
                "instance_uuid": vcenter.instance_uuid,
                "sha1": certificate.thumbprint(pem),
                "sha256": certificate.thumbprint(pem, "sha256"),
                "control": str(control_path),
            }
        )
    )
    draft.replace(ready)
    logging.getLogger(__name__).info("ready on port %d", port)
    while not stop.wait(_WATCH_S):
        _watch_hosts(vcenter)
    ready.unlink(missing_ok=True)
    control_path.unlink(missing_ok=True)
    server.server_close()
    control.server_close()


def _watch_hosts(vcenter: Vcenter) -> None:
    """Notice hosts whose process has gone, and those that are back."""
    for host in vcenter.hosts():
        if host.connection == "connected":
            if not host.hostd.alive():
                host.set_connection("notResponding")
        elif host.connection == "notResponding" and not host.held and host.io.acquire(blocking=False):
            try:
                host.attach()
            finally:
                host.io.release()


if __name__ == "__main__":
    main()
