"""Options that commands share: --output, --mode, and the VMs by name, --select or --csv."""

from __future__ import annotations

import sys
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
        help="VMs by name, cluster, host, folder, datastore, network, power, size, memory, tag or "
        "attribute.NAME: 'tag=Production and not size>2T'.",
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
Eject = Annotated[
    bool,
    typer.Option(
        "--eject",
        envvar="LRVMOTION_EJECT",
        help="Eject ISO images, CDs and floppies that would refuse a VM's move, just before it.",
    ),
]
STANDARD_INPUT = "standard input"
_MOST_PIPED = 256 << 20  # bytes; a vInfo of 10,000 VMs has about 15 MB
Csv = Annotated[
    Path | None,
    typer.Option(
        "--csv",
        metavar="FILE",
        envvar="LRVMOTION_CSV",
        help="VMs from a CSV file, - for standard input: vm, target_host, pool, folder, datastore, disks, network(s), "
        "wave, depends_on; or RVTools' sheet vInfo as it is.",
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
    from lrvmotion.config import csv_table, rvtools, vm_csv
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
        where = STANDARD_INPUT if is_standard_input(file) else str(file)
        table = csv_table.table(_content(file), where, vm_csv.HINT)
        if rvtools.is_export(table):
            return Choice(exported=tuple(rvtools.exported(table, where)), file=where)
        return Choice(overrides=tuple(vm_csv.overrides(table, where)), file=where)
    return Choice(names=tuple(names))


def is_standard_input(file: Path | None) -> bool:
    """Whether *file* says `-`."""
    return file is not None and str(file) == "-"


def _content(file: Path) -> bytes:
    """Return what *file* holds, or standard input; UsageError where that fails or nobody wrote anything."""
    piped = is_standard_input(file)
    if piped and sys.stdin.isatty():
        message = "--csv -: standard input is a terminal, and a list of VMs is read from it"
        raise UsageError(message, hint="pipe the list in, or name a file")
    try:
        content = sys.stdin.buffer.read(_MOST_PIPED + 1) if piped else file.read_bytes()
    except OSError as error:
        message = f"{STANDARD_INPUT if piped else file}: the list of VMs cannot be read: {error.strerror or error}"
        raise UsageError(message) from None
    if piped and not content.strip():
        message = "--csv -: standard input is empty"
        raise UsageError(message, hint="pipe the list in, or name a file")
    if piped and len(content) > _MOST_PIPED:
        message = f"--csv -: standard input has more than {_MOST_PIPED >> 20} MiB"
        raise UsageError(message, hint="the list has a line for each VM that is to move")
    return content


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
