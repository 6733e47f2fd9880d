"""The interface of a relay's address, and who answers from its box: asked while a run goes on."""

from __future__ import annotations

from collections.abc import Sequence

from lrvmotion.ports.shell import Runner
from lrvmotion.run.relays.flow import Link

# Lines of ours are told by their beginning: a login shell may print others.
_LINK = r"""
command -v ip >/dev/null || exit 0
device=$(ip -o addr show 2>/dev/null | while read -r _ name _ at _; do
  [ "${at%/*}" = "$1" ] && echo "${name%@*}" && break
done)
folder=/sys/class/net/$device
[ -n "$device" ] && [ ! -d "$folder" ] && exit 0
echo "lrvmotion-link $device $(cat "$folder/operstate" 2>/dev/null) $(cat "$folder/carrier" 2>/dev/null || echo 0) \
$(cat "$folder/statistics/rx_bytes" 2>/dev/null) $(cat "$folder/statistics/tx_bytes" 2>/dev/null)"
"""
_SILENT = r"""
command -v ping >/dev/null || exit 0
for peer; do { ping -n -c 3 -i 0.3 -W 1 "$peer" >/dev/null 2>&1 || echo "lrvmotion-silent $peer"; } & done
wait
"""


def link(shell: Runner, address: str) -> Link | None:
    """Return the interface that has *address*; None where the box does not tell. Raises UnreachableError."""
    return parse(shell.run(["sh", "-c", _LINK, "link", address]).stdout)


def parse(printed: str) -> Link | None:
    """Read what the script printed; None for anything else."""
    for line in printed.splitlines():
        words = line.split()
        if words == ["lrvmotion-link", "0"]:  # no device: only the carrier's own 0 is printed
            return Link(device="")
        if len(words) == 6 and words[0] == "lrvmotion-link" and all(word.isdecimal() for word in words[3:]):
            _, device, state, carrier, received, sent = words
            return Link(device=device, state=state, carrier=carrier != "0", received=int(received), sent=int(sent))
    return None


def silent(shell: Runner, peers: Sequence[str]) -> list[str]:
    """Return which of *peers* (addresses) do not answer one of three pings from the box. Raises UnreachableError."""
    done = shell.run(["sh", "-c", _SILENT, "silent", *peers])
    said = [line.partition(" ")[2] for line in done.stdout.splitlines() if line.startswith("lrvmotion-silent ")]
    return [peer for peer in peers if peer in said]
