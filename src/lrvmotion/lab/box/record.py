"""What is known of a running box, and where it is written so that another process can go on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from lrvmotion.lab.box.process import Process

SSH_PORT = 22


class BoxError(Exception):
    """A box could not be started, reached or stopped; *hint* says what the user can do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxRecord:
    """A box that was started. Addresses are IPv4 text; paths are the machine's own.

    *network* is the management network, a /30 of which *machine_address* is the machine's end and *address* the
    box's. *host_key* is a public key line without comment, *fingerprint* its "SHA256:..." form. *why_no_systemd* is
    empty where systemd runs.
    """

    name: str
    lab_id: str
    namespace: str
    directory: str
    network: str
    address: str
    machine_address: str
    device: str
    users: tuple[str, ...]
    private_key: str
    host_key: str
    fingerprint: str
    cgroup: str
    outer_pid: int = 0
    outer_start: int = 0
    systemd: bool = False
    why_no_systemd: str = ""
    port: int = SSH_PORT

    @property
    def folder(self) -> Path:
        """The box's own folder in the lab's directory."""
        return Path(self.directory) / self.name

    @property
    def path(self) -> Path:
        """Where the record itself is."""
        return record_path(Path(self.directory), self.name)

    @property
    def outer(self) -> Process | None:
        """The process that holds the box's disk and power; its end is the end of the box."""
        if not self.outer_pid:
            return None
        return Process(pid=self.outer_pid, start=self.outer_start)

    @property
    def init(self) -> Process | None:
        """The box's PID 1 as seen from outside, None while the box is off."""
        try:
            found = Process(**json.loads((self.folder / "init.json").read_text()))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return found if found.alive else None

    def write(self) -> None:
        """Write the record, whole or not at all, readable by its owner only."""
        draft = self.path.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(asdict(self), indent=1))
        draft.replace(self.path)


def record_path(directory: Path, name: str) -> Path:
    """Return where the record of box *name* is kept in the lab's *directory*."""
    return directory / f"{name}.json"


def read(path: Path) -> BoxRecord:
    """Read the record at *path*; FileNotFoundError if there is none."""
    document = json.loads(path.read_text())
    return BoxRecord(**{**document, "users": tuple(document["users"])})
