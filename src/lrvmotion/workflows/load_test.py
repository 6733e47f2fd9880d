"""Measure the circuit under load between the configured boxes, and keep what was found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lrvmotion.config.schema import Config, Relay
from lrvmotion.errors import RefusedError
from lrvmotion.journal import load_report_store
from lrvmotion.model.load_report import LoadReport
from lrvmotion.model.target_id import TargetId
from lrvmotion.workflows.connections import Connections


def ends(config: Config) -> tuple[Relay, Relay]:
    """Return the near and the far relay host; RefusedError where the configuration has not both."""
    if not config.relay.source or config.relay.target is None:
        message = "the circuit cannot be measured under load: that takes a relay host at either site"
        raise RefusedError(message, hint="add [[relay.source]] and [relay.target] to the configuration")
    return config.relay.source[0], config.relay.target


def load(
    config: Config,
    connections: Connections,
    state: Path,
    step: Callable[[str, int, int], None],
    *,
    clock: Callable[[], str],
) -> LoadReport:
    """Fill the circuit for about a minute, keep the report in the directory *state* and return it.

    *step* is told what runs, how many runs are done, of how many; *clock* gives ISO 8601 in UTC. RefusedError where
    the boxes are not there or have no Python.
    """
    from lrvmotion.relay import load_test_runner

    made = []
    for relay in ends(config):
        box = TargetId.relay(relay.name)
        shell = connections.shell(box)
        python = connections.facts(box).python
        if not python:
            message = f"{box}: there is no Python 3.9 or newer to measure with"
            raise RefusedError(message, hint="install python3 on the relay host")
        made.append(load_test_runner.End(name=relay.name, address=relay.address, python=python, shell=shell))
    report = load_test_runner.load(made[0], made[1], step, clock=clock)
    load_report_store.keep(state, report)
    return report
