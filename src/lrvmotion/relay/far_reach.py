"""Whether a near relay's box can reach the far relay: tried from the box itself, before anything is changed."""

from __future__ import annotations

from lrvmotion.findings import Finding, Severity
from lrvmotion.ports.shell import Shell
from lrvmotion.relay.facts import BoxFacts
from lrvmotion.relay.spec import RelaySpec

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


def far_findings(shell: Shell, seen: BoxFacts, spec: RelaySpec) -> list[Finding]:
    """Return what stands between the near relay's box, behind *shell*, and the far relay that *spec* names.

    One connection is tried; one that is refused got there. Not to be asked while the far relay runs already: its port
    is fenced then, and who comes without a header is counted as refused.
    """
    if spec.forward is None or not seen.python:
        return []
    address, port = spec.forward
    done = shell.run([seen.python, "-c", _TRY, address, str(port)])
    local, _, outcome = done.stdout.strip().partition(" ")

    def found(code: str, summary: str, hint: str) -> Finding:
        return Finding(severity=Severity.ERROR, code=code, subject=f"box/{spec.name}", summary=summary, hint=hint)

    if outcome not in {"open", "refused"}:
        why = outcome or done.stderr.strip().rpartition("\n")[2] or f"exit status {done.status}"
        summary = f"no way to the far relay at {address} port {port}: {why}"
        return [found("far-silent", summary, f"let TCP {port} through from {spec.address} to {address}")]
    if local != spec.address:
        summary = f"it would reach the far relay at {address} from {local}, not from {spec.address}"
        hint = f"give the relay host a route to {address} through the vMotion LAN"
        return [found("far-source", summary, hint)]
    return []
