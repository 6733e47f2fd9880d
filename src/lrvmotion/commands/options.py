"""Options that commands share: --output, --mode, and the VMs by name, --select or --csv."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lrvmotion.commands.context import Output
from lrvmotion.errors import UsageError
from lrvmotion.model.mode import MODE_CHOICES

if TYPE_CHECKING:
    from lrvmotion.plan.vm_selection import Choice

MODES = " or ".join([", ".join(MODE_CHOICES[:-1]), MODE_CHOICES[-1]])
OneDocument = Annotated[Output, typer.Option(envvar="LRVMOTION_OUTPUT", help="text for people, json for programs.")]
Events = Annotated[
    Output,
    typer.Option(envvar="LRVMOTION_OUTPUT", help="text for people; json: one document; ndjson: one event a line."),
]
NAMED = (
    "VMs at the source: name, FOLDER/NAME, DATACENTER:FOLDER/NAME, instance UUID, moref:vm-42, or a pattern ('web-*')"
)
Select = Annotated[
    str | None,
    typer.Option(
        "--select",
        metavar="EXPR",
        envvar="LRVMOTION_SELECT",
        help="VMs by name, cluster, host, folder, datastore, network, power: 'name=web-* and not host=esx1'.",
    ),
]
SkipRefused = Annotated[
    bool,
    typer.Option(
        "--skip-refused",
        envvar="LRVMOTION_SKIP_REFUSED",
        help="Leave out VMs that have errors of their own, and go on with the rest.",
    ),
]
Csv = Annotated[
    Path | None,
    typer.Option(
        "--csv",
        metavar="FILE",
        envvar="LRVMOTION_CSV",
        help="VMs from a CSV file: vm, target_host, pool, folder, datastore, disks, network(s), wave, depends_on.",
    ),
]


def known_mode(mode: str | None) -> str | None:
    """Return *mode* where it is one; UsageError for anything else."""
    if mode is not None and mode not in MODE_CHOICES:
        message = f"there is no mode {mode!r}"
        raise UsageError(message, hint=f"the modes are {', '.join(MODE_CHOICES)}")
    return mode


def choice(names: Sequence[str], expression: str | None, file: Path | None) -> Choice:
    """Return which VMs are chosen; UsageError for more than one way, or a mistake in one of them."""
    from lrvmotion.config import vm_csv
    from lrvmotion.plan import vm_filter as expressions
    from lrvmotion.plan.vm_selection import Choice

    given = {"names of VMs": bool(names), "--select": expression is not None, "--csv": file is not None}
    used = [option for option, is_used in given.items() if is_used]
    if len(used) > 1:
        message = f"{' and '.join(used)} cannot be combined"
        raise UsageError(message, hint="choose the VMs in one way")
    if expression is not None:
        return Choice(expression=expression, test=expressions.parse(expression))
    if file is not None:
        return Choice(overrides=tuple(vm_csv.load(file)), file=str(file))
    return Choice(names=tuple(names))


def given(context: typer.Context, *options: str) -> list[str]:
    """Return which of the parameters *options* stand on the command line, as the user wrote them."""
    named = {parameter.name: parameter for parameter in context.command.params}
    found = []
    for option in options:
        source = context.get_parameter_source(option)
        if source is not None and source.name == "COMMANDLINE" and context.params.get(option):
            parameter = named[option]
            found.append(parameter.opts[0] if parameter.param_type_name == "option" else "names of VMs")
    return found
