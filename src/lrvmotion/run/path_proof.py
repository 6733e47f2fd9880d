"""The proof before the first move: every planned pair is walked, and the relay must have seen exactly these probes."""

from __future__ import annotations

from collections.abc import Callable

from lrvmotion.errors import RefusedError
from lrvmotion.events import Observer, Proven
from lrvmotion.plan.plan import Plan
from lrvmotion.ports.pinger import Pinger, PingRefused
from lrvmotion.run.path_probe import request

PINGS = 3


def prove(
    plan: Plan,
    pinger: Pinger,
    echoes: Callable[[str], int],
    observer: Observer,
    *,
    unproven: bool,
    proceed: Callable[[], None],
) -> None:
    """Ping over every path of *plan*, new vmknics included; RefusedError where one is not answered.

    *echoes* gives how many probes a relay has forwarded so far: in proxy mode these must be exactly ours. A ping that
    the host refuses to run makes the proof impossible, which *unproven* allows. *proceed* is called before every path.
    """
    before = {relay: echoes(relay) for relay in plan.relays}
    sent = 0
    for path in plan.proof_paths:
        proceed()
        try:
            pings = pinger.ping(path.source, request(path, count=PINGS, interval_s=0.1))
        except PingRefused as refused:
            observer(Proven(subject=str(path), ok=None, detail=f"not possible: {refused.message}"))
            if unproven:
                return
            message = f"the path cannot be verified: {refused.message}"
            raise RefusedError(message, hint=f"--unproven moves in {plan.mode} mode all the same") from None
        sent += pings.sent
        ok = pings.received > 0
        observer(Proven(subject=str(path), ok=ok, detail=f"{pings.received} of {pings.sent} answered"))
        if not ok:
            message = f"{path}: none of {pings.sent} pings was answered"
            raise RefusedError(message, hint="check the VLAN and the route of the new vMotion vmknics")
    if plan.relays:
        seen = sum(echoes(relay) - before[relay] for relay in plan.relays)
        detail = f"{seen} of {sent} probes went through the relay"
        observer(Proven(subject="relay " + ", ".join(plan.relays), ok=seen == sent, detail=detail))
        if seen != sent:
            message = f"the relay is not in the path: {detail}"
            raise RefusedError(message, hint="check that the hosts' routes point at the relay's address")
