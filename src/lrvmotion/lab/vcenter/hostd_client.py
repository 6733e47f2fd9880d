"""Calls to a simulated host's own process over its socket; the contract is in lrvmotion.lab.hostd."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any


class HostdError(Exception):
    """The host's process refused or failed; *kind* as in the contract, or `unreachable`."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class HostdClient:
    """A client of one socket; every call has a connection of its own, so a long ping holds nothing up."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def call(self, op: str, *, wait_s: float = 60.0, **arguments: Any) -> dict[str, Any]:
        """Return the result of *op*; HostdError."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(wait_s)
                connection.connect(str(self.path))
                connection.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
                with connection.makefile("rb") as stream:
                    line = stream.readline()
        except OSError as error:
            raise HostdError(f"{self.path.name}: {error}", "unreachable") from error  # noqa: EM102
        if not line:
            raise HostdError(f"{self.path.name}: closed", "unreachable")  # noqa: EM102
        answer = json.loads(line)
        if "error" in answer:
            raise HostdError(answer["error"], answer.get("kind", "failed"))
        result: dict[str, Any] = answer["ok"]
        return result

    def alive(self) -> bool:
        """Say whether the process accepts connections."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(5)
                connection.connect(str(self.path))
        except OSError:
            return False
        return True
