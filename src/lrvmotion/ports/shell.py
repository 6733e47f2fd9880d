"""The Shell protocol: run a command and put a file on a Linux box, whatever the transport."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A finished command: exit *status* (128 + signal where killed) and decoded output."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether the command ended with 0."""
        return self.status == 0


class Runner(Protocol):
    """A root-capable command line on one box; every call is bounded in time.

    Raises UnreachableError where the box does not answer (the command may or may not have run).
    """

    @property
    def name(self) -> str:
        """The box's name in messages."""

    def run(self, argv: Sequence[str], *, stdin: bytes | None = None, timeout_s: float = 30.0) -> Completed:
        """Run *argv* as root (through sudo where the login is not root), quoted, with LC_ALL=C, whatever its status."""


class Shell(Runner, Protocol):
    """A box whose files can be read and put as well."""

    def read(self, path: str) -> bytes | None:
        """Return the file's content, or None where it does not exist."""

    def put(self, path: str, content: bytes, *, mode: int) -> None:
        """Put *content* at *path* atomically: a temporary file beside it, fsync, mode, rename. Makes the folder."""

    def remove(self, path: str) -> None:
        """Remove the file, and nothing where there is none."""

    def close(self) -> None:
        """End the connection."""
