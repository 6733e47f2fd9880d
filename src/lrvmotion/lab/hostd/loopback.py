"""Without a network: which loopback port stands for TCP 8000 or 902 of which vmknic address.

Each host process publishes its own in `<lab dir>/<site>/<host>.listen.json`; a sender looks through those of the
whole lab.
"""

from __future__ import annotations

import json
from pathlib import Path

ADDRESS = "127.0.0.1"


def publish(directory: Path, site: str, host: str, ports: dict[str, int]) -> None:
    """Write what *key* gives -> loopback port of one host."""
    path = directory / site / f"{host}.listen.json"
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(ports))
    fresh.replace(path)


def key(address: str, port: int) -> str:
    """Return the name under which the listener of a vmknic's *address* on *port* is published."""
    return f"{address}:{port}"


def find(directory: Path, address: str, port: int) -> tuple[str, int] | None:
    """Return where the listener of vmknic *address* on *port* really is, None where nobody listens."""
    for path in sorted(directory.glob("*/*.listen.json")):
        real = json.loads(path.read_text()).get(key(address, port))
        if real is not None:
            return ADDRESS, real
    return None
