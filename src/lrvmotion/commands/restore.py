"""lrvmotion restore-defaults: restore everything that the journal says is outstanding."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from lrvmotion.commands import options
from lrvmotion.commands.context import Context, Output, wall_clock
from lrvmotion.errors import ExitStatus, NotRestoredError

if TYPE_CHECKING:
    from lrvmotion.config.schema import Config
    from lrvmotion.events import Observer
    from lrvmotion.workflows.connections import Connections, Known


def restore_defaults(
    context: typer.Context,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            envvar="LRVMOTION_FORCE",
            help="Also restore what somebody else has changed since.",
        ),
    ] = False,
    cancel: Annotated[
        bool,
        typer.Option("--cancel", envvar="LRVMOTION_CANCEL", help="Cancel relocates that still run, where they can be."),
    ] = False,
    wait: Annotated[
        float,
        typer.Option(
            min=0,
            envvar="LRVMOTION_WAIT",
            help="Seconds to wait for running relocates.",
        ),
    ] = 14_400.0,
    reboot_hosts: Annotated[
        bool,
        typer.Option(
            "--reboot-hosts",
            envvar="LRVMOTION_REBOOT_HOSTS",
            help="Then reboot, one at a time, hosts on which a former value is still in force.",
        ),
    ] = False,
    output: options.Events = Output.TEXT,
) -> int:
    """Restore all settings of ESXi and relay hosts; needs only the journal and credentials."""
    from lrvmotion.events import RestoreEnded
    from lrvmotion.journal import changes, effective_values
    from lrvmotion.journal import journal as journals
    from lrvmotion.report.run_result import Report
    from lrvmotion.run.fanout import Fanout
    from lrvmotion.views import results
    from lrvmotion.views.events import lines, log, ndjson
    from lrvmotion.views.text import console
    from lrvmotion.workflows import migrate_run, restore_run
    from lrvmotion.workflows.connections import Connections, all_known

    own: Context = context.obj
    interrupts = own.process.interrupts
    config = own.config() if own.find_config() else None
    state = own.state(config)
    report = Report()
    fan = Fanout(report.take, lines.Lines(quiet=output is not Output.TEXT))
    if output is Output.NDJSON:
        fan.add(ndjson.Ndjson(wall_clock))
    command = own.command("restore-defaults")
    recognised: list[str] = []
    if journals.gone(state):
        _list(all_known(config, {}), config, own, fan, state)
    with journals.Journal(state, wall_clock) as journal, log.Log(state, wall_clock, fan) as text:
        journal.say = fan
        fan.add(text)
        every = all_known(config, changes.connections(journal.records))

        def show(error: BaseException | None) -> None:
            """Tell what the restore came to, whatever ended it, on stdout and in its log."""
            if error is not None:
                fan(migrate_run.told(error))
            journal.keep()
            left = report.outstanding = len(journal.outstanding())
            fan(RestoreEnded(restored=report.reverted, outstanding=left, restore=command if left else None))
            with io.StringIO() as page:
                recorded = bool(journal.records)
                results.restored(report, recognised, state, command, recorded=recorded, to=console.page(page))
                text.write(page.getvalue())
            if output is Output.TEXT and (error is None or left or report.reverted):
                results.restored(report, recognised, state, command, recorded=recorded)
            elif output is Output.JSON:
                failed = None if error is None else migrate_run.told(error)
                results.document(results.restored_json(report, recognised, state, failed))
            own.process.told = output is not Output.TEXT

        try:
            with Connections(every, own.credentials(), fan) as connections:
                if journal.outstanding() or (reboot_hosts and effective_values.put_back(journal.records)):
                    limits = config.limits if config else None
                    with interrupts.counted(1):
                        restore_run.restore(
                            journal, connections, fan, force=force, cancel=cancel, wait_s=wait, limits=limits,
                            reboot_hosts=reboot_hosts, who=own.who(), interrupts=interrupts.count,
                        )  # fmt: skip
                elif not journal.records and config is not None:
                    recognised += _recognised(connections, config)
        except BaseException as error:
            show(error)
            raise
        show(None)
    fan.verify()
    return int(ExitStatus.NOT_RESTORED if recognised else report.status)


def _list(known: Known, config: Config | None, own: Context, observer: Observer, state: Path) -> NoReturn:
    """Raise NotRestoredError with what is recognised: the journal is gone, and only it had the values before."""
    from lrvmotion.workflows.connections import Connections

    recognised: list[str] = []
    if config is not None:
        with Connections(known, own.credentials(), observer) as connections:
            recognised = _recognised(connections, config)
    found = "".join(f"\n  recognised: {what}" for what in recognised)
    message = f"{state / 'journal.jsonl'}: the journal is gone, and what it listed is not known{found}"
    hint = f"restore it from a copy and run this again; to begin a new one, remove {state / 'journal.begun'}"
    raise NotRestoredError(message, hint=hint)


def _recognised(connections: Connections, config: Config) -> list[str]:
    """Return what carries an lrvmotion mark on hosts and boxes, for a state directory without a journal.

    A route or a vmknic's gateway has no mark: one that leads to a configured relay's address is taken for ours.
    """
    from lrvmotion.checks.hosts import PORTGROUP
    from lrvmotion.model.inventory import SiteName
    from lrvmotion.model.setting import SettingKey
    from lrvmotion.model.target_id import TargetId
    from lrvmotion.relay.status import list_leftovers

    boxes = [TargetId.relay(relay.name) for relay in config.relay.every]
    sites: tuple[SiteName, SiteName] = ("source", "target")
    found = [
        f"{TargetId.host(site, host.name)}: port group {group.name}"
        for site in sites
        for host in connections.inventory(site).hosts
        for group in host.portgroups
        if PORTGROUP.fullmatch(group.name)
    ]
    addresses = {relay.address for relay in config.relay.every}
    for site in sites:
        for host in connections.inventory(site).hosts:
            ways = {SettingKey.of("route", key): gateway for key, gateway in host.routes.items()}
            ways |= {SettingKey.of("gateway", nic.address): nic.gateway for nic in host.vmknics if nic.gateway}
            found += [
                f"{TargetId.host(site, host.name)}: {key.words} to {gateway}"
                for key, gateway in ways.items()
                if gateway in addresses
            ]
    return [*found, *(f"{name}: {what}" for name in boxes for what in list_leftovers(connections.shell(name)))]
