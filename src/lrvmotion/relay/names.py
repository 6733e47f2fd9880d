"""What a run calls its things on a relay host: every name carries the run's id."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Literal

_V6 = "_v6"


@dataclass(frozen=True, slots=True)
class Names:
    """The names and paths of one run on a box. ValueError for an id that does not fit all of them."""

    run: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]{1,16}", self.run):
            message = f"{self.run!r} is not a run's id"
            raise ValueError(message)

    def table(self, family: Literal["ip", "ip6"] = "ip") -> str:
        """The packet filter's table: one an address family."""
        return f"lrvmotion_{self.run}" + (_V6 if family == "ip6" else "")

    @property
    def folder(self) -> str:
        """Where the relay's files are."""
        return f"/usr/local/lib/lrvmotion-{self.run}"

    @property
    def relayd(self) -> str:
        """The relay's program."""
        return f"{self.folder}/relayd.py"

    def config(self, digest: str) -> str:
        """The relay's configuration; its name tells its content, so that a process shows which one it runs with."""
        return f"{self.folder}/relay-{digest[:12]}.json"

    def script(self, table: str) -> str:
        """What loads the redirect *table*."""
        return f"{self.folder}/{table}.rules"

    @property
    def unit(self) -> str:
        """The systemd unit."""
        return f"lrvmotion-relay-{self.run}.service"

    @property
    def unit_file(self) -> str:
        """The unit's file."""
        return f"/etc/systemd/system/{self.unit}"

    @property
    def sysctl_file(self) -> str:
        """What brings the kernel settings back after a reboot."""
        return f"/etc/sysctl.d/90-lrvmotion-{self.run}.conf"

    @property
    def runtime(self) -> str:
        """The folder of the running relay, gone after a reboot."""
        return f"/run/lrvmotion-{self.run}"

    @property
    def supervised(self) -> str:
        """Without systemd: root's own folder, with the supervisor's pid and its log."""
        return f"{self.runtime}.d"

    @property
    def account(self) -> int:
        """Without systemd: the user id that the relay runs as, of those that systemd makes up (61184 to 65519)."""
        return 61184 + zlib.crc32(self.run.encode()) % 4336

    @property
    def control(self) -> str:
        """The relay's control socket."""
        return f"{self.runtime}/control.sock"


def of_table(table: str) -> Names:
    """Return the names of the run that *table* belongs to; ValueError where it is none of ours."""
    return Names(table.removeprefix("lrvmotion_").removesuffix(_V6))


def family_of(table: str) -> Literal["ip", "ip6"]:
    """Return the address family of *table*."""
    return "ip6" if table.endswith(_V6) else "ip"
