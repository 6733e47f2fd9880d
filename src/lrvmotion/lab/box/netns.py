"""Run a command in a network namespace, or in the machine's own, and read what it prints."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from lrvmotion.lab.box.record import BoxError


def command(namespace: str | None, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run *argv* in *namespace* (None: the machine's) and return how it ended."""
    inside = ("ip", "netns", "exec", namespace) if namespace else ()
    return subprocess.run([*inside, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def ip(namespace: str | None, *arguments: str) -> str:
    """Run `ip` with *arguments* in *namespace*; return its output, BoxError if it fails."""
    where = ("-n", namespace) if namespace else ()
    done = command(None, "ip", *where, *arguments)
    if done.returncode != 0:
        message = f"ip {' '.join((*where, *arguments))}: {done.stderr.strip()}"
        raise BoxError(message)
    return done.stdout


def ip_json(namespace: str | None, *arguments: str) -> list[dict[str, Any]]:
    """Run `ip -json` with *arguments* in *namespace*; return the objects that it prints."""
    text = ip(namespace, "-json", *arguments)
    # Older versions print an empty object for an empty table.
    return [entry for entry in json.loads(text or "[]") if entry]
