"""Ask a lab process over its Unix socket, for those who only want the answer or a plain sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lrvmotion.lab import rpc
from lrvmotion.lab.errors import LabError


def ask(path: Path, op: str, *, within_s: float = 20.0, **arguments: Any) -> Any:  # noqa: ANN401 - any JSON
    """Send `{"op": op, …}` to the socket at *path* and return its result; LabError where it fails."""
    try:
        return rpc.call(path, op, timeout=within_s, **arguments)
    except rpc.RpcError as error:
        message = f"{path.name}: {op}: {error.message}"
        raise LabError(message) from error
    except OSError as error:
        message = f"{path}: the lab's process does not answer: {error}"
        raise LabError(message, "see 'lrvmotion lab status'") from error
