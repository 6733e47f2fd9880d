"""Ask a lab process over its Unix socket: one JSON object a line each way."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from lrvmotion.lab.errors import LabError


def ask(path: Path, op: str, *, timeout_s: float = 20.0, **arguments: Any) -> Any:  # noqa: ANN401 - any JSON
    """Send `{"op": op, …}` to the socket at *path* and return its result; LabError where it fails."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline()
    except OSError as error:
        message = f"{path}: the lab's process does not answer: {error}"
        raise LabError(message, "see 'lrvmotion lab status'") from error
    answer = json.loads(line)
    if "error" in answer:
        raise LabError(f"{path.name}: {op}: {answer['error']}", "")  # noqa: EM102
    return answer.get("ok")
