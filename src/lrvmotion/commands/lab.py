"""lrvmotion lab: build a world to rehearse in, show it, demonstrate the whole job, take it down."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lrvmotion.commands.context import Context, Output
from lrvmotion.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from lrvmotion.lab.demo import Outcome

app = typer.Typer(
    no_args_is_help=True, help="Simulated vCenters and hosts, a relay host and a bad circuit, to rehearse."
)

Name = Annotated[
    str,
    typer.Option(
        "--name", envvar="LRVMOTION_LAB_NAME", help="The lab's name; labs of different names live side by side."
    ),
]


class SiteChoice(StrEnum):
    """Which vCenter."""

    SOURCE = "source"
    TARGET = "target"


Site = Annotated[SiteChoice, typer.Argument(help="source or target.")]
OutputOption = Annotated[Output, typer.Option(envvar="LRVMOTION_OUTPUT", help="text for people, json for programs.")]


@app.command(short_help="Build a lab that stays up; writes its configuration.")
def up(
    context: typer.Context,
    name: Name = "lab",
    no_net: Annotated[
        bool,
        typer.Option(
            "--no-net",
            envvar="LRVMOTION_LAB_NO_NET",
            help="Loopback only, without root; no network emulated.",
        ),
    ] = False,
    vms: Annotated[
        int | None,
        typer.Option(
            "--vms",
            envvar="LRVMOTION_LAB_VMS",
            min=1,
            max=50_000,
            help="VMs in each vCenter; by default four, at the source.",
        ),
    ] = None,
    estate: Annotated[
        Path | None,
        typer.Option(
            "--estate",
            metavar="FILE",
            envvar="LRVMOTION_LAB_ESTATE",
            help="Build what 'lrvmotion inventory' has written.",
        ),
    ] = None,
    shrink: Annotated[
        int | None,
        typer.Option(
            "--shrink",
            metavar="N",
            envvar="LRVMOTION_LAB_SHRINK",
            min=1,
            help="Moves carry one of N bytes; default 1, with --estate and --no-net 1000.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            envvar="LRVMOTION_LAB_FILE",
            help="Where the configuration is written; by default the lab's name with .toml.",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            envvar="LRVMOTION_LAB_FORCE",
            help="Overwrite an existing file.",
        ),
    ] = False,
) -> int:
    """Build a lab that stays up, and write its configuration to NAME.toml.

    With --estate its vCenters are those of the document: all of their VMs, hosts and networks, under their own names.
    """
    own: Context = context.obj
    from lrvmotion.lab import standard, world
    from lrvmotion.lab.estate import document, layout
    from lrvmotion.plan.modes import proxy, stock

    if estate is not None and vms is not None:
        message = "--estate and --vms cannot be combined"
        raise UsageError(message, hint="an estate has its own VMs")
    home = world.home(own.environment)
    directory = home / _checked(name)
    file = file or Path(f"{name}.toml")
    if (other := world.writer(home, file)) not in {None, name}:
        message = f"{file} is the configuration of the lab {other!r}, which is up"
        raise RefusedError(message, hint=f"name another file with --file, or run 'lrvmotion lab down --name {other}'")
    if (
        file.exists()
        and not force
        and not file.read_text(errors="replace").startswith("# Written by 'lrvmotion lab up'")
    ):
        message = f"{file} exists and was not written by a lab"
        raise RefusedError(message, hint="name another with --file, or overwrite it with --force")
    if not os.access(file.parent, os.W_OK) or file.is_dir():
        message = f"the configuration {file} cannot be written"
        raise UsageError(message, hint="--file names another place")
    owner = world.Owner.of(own.environment)
    movable = ["vm1", "vm2"]
    if estate is None:
        spec = standard.standard(name, net=not no_net, passwords=world.new_passwords(), vms=vms)
        spec = replace(spec, shrink=shrink or 1)
        _guard(lambda: world.up(spec, directory, owner, _say))
    else:
        passwords = world.new_passwords()
        told = _guard(lambda: document.read(estate))
        part = shrink or (layout.SHRINK if no_net else 1)
        spec = _guard(lambda: layout.spec(told, name, net=not no_net, passwords=passwords, shrink=part))
        movable = layout.running(told)[:2]
        _guard(lambda: world.up(spec, directory, owner, _say, estate=json.dumps(told)))
    world.write_configuration(spec, directory, file, owner)
    if no_net:
        _say("no network is emulated: RTT, loss and rates are this machine's own")
    if spec.shrink > 1:
        _say(f"a move carries one of {spec.shrink} bytes: rates and times are no forecast (--shrink)")
    print(f"lab {name!r} is up; try:\n")  # noqa: T201
    mode = stock.NAME if no_net else proxy.NAME
    names = shlex.join(movable)
    for line in (f"plan {names}", f"migrate --mode {mode} {names}", "restore-defaults"):
        print(f"  lrvmotion --config {file} {line}")  # noqa: T201
    # sudo does not search ~/.local/bin, where pipx installs: there it was called by its path.
    program = "lrvmotion" if no_net or "SUDO_UID" not in own.environment else f"sudo {shlex.quote(sys.argv[0])}"
    print(f"  {program} lab down" + ("" if name == "lab" else f" --name {name}"))  # noqa: T201
    return 0


@app.command(short_help="Take a lab down and remove everything it made.")
def down(context: typer.Context, name: Name = "lab") -> int:
    """Take a lab down and remove everything it made."""
    own: Context = context.obj
    from lrvmotion.lab import world

    _guard(lambda: world.down(world.home(own.environment) / _checked(name)))
    print(f"lab {name!r} is down")  # noqa: T201
    return 0


@app.command(short_help="Kill a site's vCenter, as a crash would.")
def kill(context: typer.Context, site: Site, name: Name = "lab") -> int:
    """Kill a site's vCenter (SIGKILL), as a crash would. 'lab start' starts it; it has lost its sessions and tasks."""
    own: Context = context.obj
    from lrvmotion.lab import world

    _guard(lambda: world.kill_vcenter(world.home(own.environment) / _checked(name), site.value))
    print(f"{site.value} vCenter: killed")  # noqa: T201
    return 0


@app.command(short_help="Start a site's vCenter after 'lab kill'.")
def start(context: typer.Context, site: Site, name: Name = "lab") -> int:
    """Start a site's vCenter after 'lab kill', at the same address, with all settings and VMs that it had."""
    own: Context = context.obj
    from lrvmotion.lab import world

    _guard(lambda: world.start_vcenter(world.home(own.environment) / _checked(name), site.value))
    print(f"{site.value} vCenter: running")  # noqa: T201
    return 0


@app.command(short_help="Show where the VMs are, and the circuit.")
def status(context: typer.Context, name: Name = "lab", output: OutputOption = Output.TEXT) -> int:
    """Show a lab: vCenters, hosts, where the VMs are, relay hosts, the circuit."""
    own: Context = context.obj
    from lrvmotion.lab import world
    from lrvmotion.views import lab as view

    found = _guard(lambda: world.status(world.home(own.environment) / _checked(name)))
    if output is Output.TEXT:
        view.status(found)
    else:
        print(json.dumps(found))  # noqa: T201
    return 0


@app.command(short_help="Show all three modes over one bad circuit.")
def demo(
    context: typer.Context,
    output: OutputOption = Output.TEXT,
    name: Name = "demo",
    profile: Annotated[
        str,
        typer.Option(
            envvar="LRVMOTION_LAB_PROFILE", help="Only field: the demo is the field report's own table in small."
        ),
    ] = "field",
) -> int:
    """Move VMs stock, native and proxy over the same bad circuit, restore all settings, and show the speed-up."""
    own: Context = context.obj
    from lrvmotion.lab import demo as demos
    from lrvmotion.lab import standard, world
    from lrvmotion.views import lab as view

    if profile != "field":
        message = f"the demo runs on the field profile only, not {profile!r}"
        raise UsageError(message, hint="its parameters are fitted to the field report; leave --profile out")
    owner = world.Owner.of(own.environment)
    outcome: Outcome = _guard(lambda: demos.run(_checked(name), owner, own.environment, _say))
    if output is Output.TEXT:
        view.demo(outcome.document(), outcome.differences, outcome.wire, standard.FIELD_REPORT)
    else:
        print(json.dumps(outcome.document()))  # noqa: T201
    whole = not outcome.left_behind and not outcome.differences and outcome.changed == outcome.restored
    return 0 if whole else 1


def _checked(name: str) -> str:
    if not name.replace("-", "").replace("_", "").isalnum() or len(name) > 24:
        message = f"{name!r} is not a lab's name"
        raise UsageError(message, hint="up to 24 letters, digits, - and _")
    return name


def _say(text: str) -> None:
    print(f"lab: {text}", file=sys.stderr, flush=True)  # noqa: T201


def _guard(call: Callable[[], Any]) -> Any:  # noqa: ANN401 - hands the call's result on
    """Return what *call* returns; the lab's own errors become the CLI's."""
    from lrvmotion.lab.box.record import BoxError
    from lrvmotion.lab.errors import LabError
    from lrvmotion.lab.estate.document import EstateError

    try:
        return call()
    except EstateError as error:
        raise UsageError(str(error), hint=error.hint or None) from error
    except (LabError, BoxError) as error:
        raise RefusedError(str(error), hint=error.hint or None) from error
