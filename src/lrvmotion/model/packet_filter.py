"""What a relay host's packet filter does to vMotion: the rules that end its packets, and who made them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What ends packets: *what* is "input" (to the relay's port), "forward" (past the relay: pings, new connections) or
    "later" (past the relay: all but the first packet of a connection whose answers do not come this way).

    *program* is "nft", "iptables" or "iptables-legacy"; *chain* the one that the kernel calls, where a rule at its head
    lets the packets through; *rule* what ended them, in the program's own words. *hook*: where the kernel calls it.
    """

    what: Literal["input", "forward", "later"]
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
        where = f"{self.family} {self.table} {self.chain}" if self.program == "nft" else self.chain
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
