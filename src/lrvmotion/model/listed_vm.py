"""One line of `lrvmotion vms`: what a VM is, where it is, and whether it can move; pure."""

from __future__ import annotations

from dataclasses import dataclass

from lrvmotion.findings import Finding, errors


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedVm:
    """A VM by the shortest *address* that means it alone; *path* is "DATACENTER:FOLDER/NAME", "" in a vApp.

    *host*, *cluster* and *power* are those of the site where it is; *storage_bytes* of its disks, *memory_bytes* of its
    memory. *at_target*: the target has it, by its instance UUID; *run* moved it there, "" where no journal says so.
    *findings* are what a plan would say of it alone.
    """

    address: str
    name: str
    path: str
    instance_uuid: str
    ref: str
    host: str
    cluster: str
    power: str
    storage_bytes: int
    memory_bytes: int
    at_target: bool = False
    run: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def can_move(self) -> bool:
        """Whether nothing that is known of it alone is against its move."""
        return not self.at_target and not errors(list(self.findings))

    @property
    def reason(self) -> str:
        """Why it cannot move, "" where it can."""
        if self.at_target:
            return "at the target already" + (f" (run {self.run})" if self.run else "")
        bad = errors(list(self.findings))
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        return f"{bad[0].summary}{more}" if bad else ""
