"""The simulated vCenter: everything that it holds, and the call that a client makes of it."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time
from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrvmotion.lab.spec import LabSpec, SiteName, SiteSpec
from lrvmotion.lab.vcenter.fault_rule import Trouble
from lrvmotion.lab.vcenter.registry import Registry


class Vcenter:
    """Everything that one simulated vCenter holds; *folder* is the site's, *lab* the lab's directory."""

    def __init__(self, spec: LabSpec, site: SiteName, lab: Path, pem: str) -> None:
        self.spec = spec
        self.site: SiteSpec = spec.site(site)
        self.lab = lab
        self.folder = lab / site
        self.pem = pem
        self.registry = Registry()
        self.trouble = Trouble()
        self.astray: dict[str, Any] = {}  # what is wrong with VMs that arrive; see control_traits.arrive_astray
        self.instance_uuid = ""
        self.estate: dict[str, Any] = {}  # what it was built from, where that is no spec
        # What knows the vCenter in its turn: made by build.
        self.rest: Any = None
        self.pbm: Any = None
        self.content: Any = None
        self.sessions: Any = None
        self.tasks: Any = None
        self.root: Any = None
        self.denied: set[str] = set()
        self.faults_at_call = False
        self.api_type = "VirtualCenter"
        self.url = ""  # from the start of its server on
        self.hidden: set[str] = set()  # names of objects that the account may not see
        self.paces: dict[str, tuple[float, float]] = {}  # by VM; see control_traits.relocate_pace
        self.key_providers: list[str] | None = []
        self.ahead_s = 0.0  # its clock, of the real one
        self.waiting = 0  # calls of WaitForUpdatesEx that have no answer yet
        self.most_waiting = 0

    def hosts(self) -> list[Any]:
        """Return all hosts."""
        return list(self.registry.of_type("HostSystem"))

    def machines(self) -> list[Any]:
        """Return all VMs."""
        return list(self.registry.of_type("VirtualMachine"))

    @property
    def lock(self) -> threading.RLock:
        """The lock of the model."""
        return self.registry.lock


@dataclass(slots=True, kw_only=True)
class Call:
    """Who calls: the vCenter, the client's API version (pyVmomi's name of it), the session if any."""

    vcenter: Vcenter
    version: str
    session: Any
    cookie: str | None
    address: str
    agent: str
    new_cookie: str | None = None


def unlocked(method: Any) -> Any:
    """Mark *method* to run without the model's lock: it waits for something."""
    method.unlocked = True
    return method
