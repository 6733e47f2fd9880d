"""A rule of a relay host's packet filter, by the tool's own words: there, not there, or not known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lrvmotion.errors import RefusedError
from lrvmotion.model.setting import ABSENT, string
from lrvmotion.ports.shell import Completed
from lrvmotion.relay.packet_filter import opening

IPTABLES = "iptables/INPUT -s 10.88.0.0/24 -i lan0 -p tcp -m tcp --dport 9000 -j ACCEPT"
NFT = 'nft/inet filter input iifname "lan0" ip saddr 10.88.0.0/24 tcp dport 9000 accept comment "lrvmotion-abc123"'
UFW = "ufw/allow in on lan0 from 10.88.0.0/24 to any port 9000 proto tcp comment 'lrvmotion-abc123'"
FIREWALLD = "firewalld/public forward"
LISTED = f"""table inet filter {{
\tchain input {{ # handle 1
\t\ttype filter hook input priority filter; policy drop;
\t\t{NFT.split(" ", 3)[3]} # handle 17
\t}}
}}
"""


class Box:
    """A shell whose every command ends alike."""

    name = "relay/relay1"

    def __init__(self, status: int, stdout: str = "", stderr: str = "") -> None:
        self.answer = status, stdout, stderr
        self.ran: list[list[str]] = []

    def run(self, argv: Sequence[str], *, stdin: bytes | None = None, timeout_s: float = 30.0) -> Completed:
        self.ran.append(list(argv))
        status, stdout, stderr = self.answer
        return Completed(argv=tuple(argv), status=status, stdout=stdout, stderr=stderr)


@pytest.mark.parametrize(
    ("name", "box", "there"),
    [
        (IPTABLES, Box(0), True),
        (IPTABLES, Box(1, stderr="iptables: Bad rule (does a matching rule exist in that chain?)."), False),
        (NFT, Box(0, LISTED), True),
        (NFT, Box(0, LISTED.replace("9000", "9001")), False),
        (NFT, Box(1, stderr="Error: No such file or directory"), False),
        (UFW, Box(0, "Added user rules:\nufw " + UFW[4:] + "\n"), True),
        (UFW, Box(0, "Added user rules:\n(None)\n"), False),
        (FIREWALLD, Box(0, "yes\n"), True),
        (FIREWALLD, Box(1, "no\n"), False),
    ],
)  # fmt: skip
def test_rule_is_there_or_not(name, box, there):
    """What the tool lists, word by word, is the rule; another one is not."""
    assert opening.read(box, name) == (string("accept") if there else ABSENT)


@pytest.mark.parametrize(
    ("name", "box"),
    [
        (IPTABLES, Box(4, stderr="Another app is currently holding the xtables lock.")),
        (IPTABLES, Box(127, stderr="timeout: failed to run command 'iptables'")),
        (NFT, Box(1, stderr="Error: Could not process rule: Operation not permitted")),
        (NFT, Box(127, stderr="nft: not found")),
        (UFW, Box(1, stderr="ERROR: Couldn't stat '/etc/ufw/ufw.conf'")),
        (FIREWALLD, Box(252, stderr="FirewallD is not running")),
    ],
)
def test_tool_that_fails_is_no_missing_rule(name, box):
    """A rule that cannot be looked for is not taken for one that is gone: restore would call it restored."""
    with pytest.raises(RefusedError, match="relay/relay1"):
        opening.read(box, name)
    with pytest.raises(RefusedError):
        opening.write(box, name, ABSENT)
    assert len(box.ran) == 2, "nothing was written"


def test_rule_that_is_there_is_not_put_twice():
    """Writing what is there already is harmless."""
    box = Box(0)
    opening.write(box, IPTABLES, string("accept"))
    assert [argv[:3] for argv in box.ran] == [["iptables", "-w", "-C"]]
