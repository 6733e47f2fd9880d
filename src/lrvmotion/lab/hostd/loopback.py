"""Without a network: which loopback port stands for TCP 8000 of which vmknic address.

Each host process publishes its own in `<lab dir>/<site>/<host>.listen.json`; a sender looks through those of the
whole lab.
"""

from __future__ import annotations

import json
from pathlib import Path

ADDRESS = "127.0.0.1"


def publish(directory: Path, site: str, host: str, ports: dict[str, int]) -> None:
    """Write vmknic address -> loopback port of one host."""
    path = directory / site / f"{host}.listen.json"
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(ports))
    fresh.replace(path)


def find(directory: Path, address: str) -> tuple[str, int] | None:
    """Return where the vMotion listener of vmknic *address* really is, None where nobody listens."""
    for path in sorted(directory.glob("*/*.listen.json")):
        port = json.loads(path.read_text()).get(address)
        if port is not None:
            return ADDRESS, port
    return None
