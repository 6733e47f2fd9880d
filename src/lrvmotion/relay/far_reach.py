"""Whether a near relay's box can reach the far relay: tried from the box itself, before anything is changed."""

from __future__ import annotations

from lrvmotion.model.relay.relay_host import BoxFacts, FarReach
from lrvmotion.model.relay.relay_spec import RelaySpec
from lrvmotion.ports.shell import Shell

# Prints the address that a connection would come from, and how far it got.
_TRY = """
import socket, sys
goal = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in goal[0] else socket.AF_INET
local, outcome = "-", "open"
try:
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(goal)
        local = probe.getsockname()[0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        probe.connect(goal)
except ConnectionRefusedError:
    outcome = "refused"
except socket.timeout:
    outcome = "no answer within 5 s"
except OSError as error:
    outcome = error.strerror or str(error)
print(local, outcome)
"""


def reach(shell: Shell, seen: BoxFacts, spec: RelaySpec) -> FarReach | None:
    """Try the way from the near relay's host, behind *shell*, to the far relay that *spec* names; None: nothing to try.

    One connection is tried. Not to be asked while the far relay runs already: its port is fenced then, and who comes
    without a header is counted as refused.
    """
    if spec.forward is None or not seen.python:
        return None
    address, port = spec.forward
    done = shell.run([seen.python, "-c", _TRY, address, str(port)])
    local, _, outcome = done.stdout.strip().partition(" ")
    failed = done.stderr.strip().rpartition("\n")[2] or f"exit status {done.status}"
    return FarReach(local=local, outcome=outcome or failed)
