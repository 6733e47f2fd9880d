"""What a relay host is and has, what it sees of its neighbours, its packet filter, its way to the far relay."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address of the box: *interface*, plain *address*, prefix *length*."""

    interface: str
    address: str
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder that the relay's files go to: KiB and files that fit (None: not known), mount point and its options."""

    path: str
    writable: bool
    free_kib: int | None
    free_files: int | None
    options: frozenset[str]
    mount: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxFacts:
    """A box as it was seen. Paths are "" where a tool is missing; sysctls map a key to (value, writable).

    *governors* maps each CPU to its governor, empty where the box has none. *listening* are TCP ports that
    something listens on, at any address. *marks* is everything that carries lrvmotion's name. Memory in KiB.
    *links* maps an interface to (MTU, speed in Mbit/s or None). *zones*: rules that put what comes in into a conntrack
    zone, each with its table and chain. *lacking* is a module that its Python has not, *filter_error* what nft said
    that cannot be used.
    """

    kernel: str = ""
    available: frozenset[str] = frozenset()
    allowed: frozenset[str] = frozenset()
    bbr_module: bool = False
    tools: tuple[tuple[str, str, str], ...] = ()
    systemd: bool = False
    python: str = ""
    python_version: tuple[int, int, int] = (0, 0, 0)
    pythons: tuple[str, ...] = ()
    splice: bool = False
    cores: int = 0
    governors: tuple[tuple[str, str], ...] = ()
    available_governors: frozenset[str] = frozenset()
    addresses: tuple[Address, ...] = ()
    links: tuple[tuple[str, int, int | None], ...] = ()
    listening: frozenset[int] = frozenset()
    sysctls: tuple[tuple[str, str, bool], ...] = ()
    marks: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    memory_total_kib: int = 0
    memory_free_kib: int = 0
    places: tuple[Place, ...] = ()
    lacking: str = ""
    filter_error: str = ""

    @property
    def bbr(self) -> bool:
        """Whether the relay can use BBR: it is in the kernel, or the kernel loads it when first asked for."""
        return "bbr" in self.available or self.bbr_module

    @property
    def nft(self) -> str:
        """Where nft is, "" where it is not."""
        return self._tool("nft")

    @property
    def iptables(self) -> str:
        """Where iptables is, "" where it is not."""
        return self._tool("iptables")

    @property
    def legacy_iptables(self) -> bool:
        """Whether its iptables is the older one, which speaks to the kernel by a raw socket and locks a file of root's.

        Since 1.8 each says of itself which it is: "(legacy)" or "(nf_tables)".
        """
        return any(name == "iptables" and "nf_tables" not in version for name, _, version in self.tools)

    @property
    def owner_tables(self) -> bool:
        """Whether a packet filter table can belong to a process (`flags owner`: kernel 5.12, nft 1.0)."""
        version = next((version for name, _, version in self.tools if name == "nft"), "")
        return version_numbers(self.kernel) >= (5, 12) and version_numbers(version) >= (1, 0)

    @property
    def runs(self) -> frozenset[str]:
        """The runs that have left something on this box."""
        return frozenset(runs_in(self.marks))

    def sysctl(self, key: str) -> str | None:
        """Return the value of the kernel setting *key*, None where the box has none."""
        return next((value for name, value, _ in self.sysctls if name == key), None)

    def interface_of(self, address: str) -> str | None:
        """Return the interface that carries *address*, None where none does."""
        return next((entry.interface for entry in self.addresses if entry.address == address), None)

    def _tool(self, wanted: str) -> str:
        return next((path for name, path, _ in self.tools if name == wanted), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayView:
    """What a box sees: *arp* maps each neighbour to its MAC, *ports* each address to "open", "refused" or what failed.

    *connect_ms* is how long a connection took that was open. *reason* says why nothing was looked at.
    """

    arp: Mapping[str, str | None]
    ports: Mapping[str, str]
    connect_ms: Mapping[str, float]
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FarReach:
    """A connection tried from a near relay host to the far relay: the *local* address it would come from, "-": none.

    *outcome* is "open", "refused" (it got there), or what failed.
    """

    local: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What ends packets: *what* is "input" (to the relay's port), "output" (the relay's own to the targets), "forward"
    (past the relay: pings, new connections) or "later" (past the relay: all but the first packet of a connection whose
    answers do not come this way).

    *program* is "nft", "iptables" or "iptables-legacy"; *chain* the one that the kernel calls, where a rule at its head
    lets the packets through; *rule* what ended them, in the program's own words. *hook*: where the kernel calls it.
    """

    what: Literal["input", "output", "forward", "later"]
    program: str
    family: str
    table: str
    chain: str
    rule: str
    hook: str = ""

    @property
    def is_early(self) -> bool:
        """Whether it comes before the redirect and the choice of a way: neither our port nor an interface is known."""
        return self.hook in {"ingress", "prerouting"}

    def __str__(self) -> str:
        table = "" if self.table == "filter" else f"{self.table} "
        where = f"{self.family} {self.table} {self.chain}" if self.program == "nft" else f"{table}{self.chain}"
        return f"{self.program}, {where}: {self.rule}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirewallView:
    """What was found. *zone*: firewalld's of the interface, which is *bound* to it by name or falls to it by default;
    *forwards*: between interfaces that are bound to it; *owned*: nobody else may change its table. *out*: interfaces
    that lead to the targets.

    *reason* says why it is not known, None where it is.
    """

    blocks: tuple[Block, ...] = ()
    zone: str | None = None
    bound: bool = False
    forwards: bool = False
    owned: bool = False
    ufw: bool = False
    docker: bool = False
    out: tuple[str, ...] = ()
    reason: str | None = None


def runs_in(texts: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the run ids in names and paths such as ours, each with the texts that carry it."""
    found: dict[str, list[str]] = {}
    for text in texts:
        mark = re.search(r"(?:lrvmotion[-_](?:relay-)?|LRVM_)([a-z0-9]{1,16})", text)
        if mark:
            found.setdefault(mark[1], []).append(text)
    return found


def version_numbers(text: str) -> tuple[int, ...]:
    """Return the first two numbers of a version in *text*; (0, 0) where there is none."""
    found = re.search(r"([0-9]{1,9})\.([0-9]{1,9})", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
