"""What the user wants for single VMs, and the CSV file that lists it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lrvmotion.config.csv_table import Table, table, wrong
from lrvmotion.errors import UsageError
from lrvmotion.model.inventory import Inventory, VirtualMachine, did_you_mean
from lrvmotion.model.place_names import SiteNames, near_misses

EVERY = "*"  # the card label that means every card of the VM
COLUMNS = (
    "vm", "target_host", "pool", "folder", "datastore", "disks", "network", "networks", "wave", "depends_on", "note",
)  # fmt: skip
# Names that later versions give a meaning: refused rather than ignored.
_RESERVED = frozenset({"cpu", "hooks", "mode", "name", "priority", "storage_policy", "tags", "window"})
_MOST_HINTS = 3
_MOST_UNKNOWN = 3  # columns that are misspelled; more of them are another file
_MOST_DIGITS = 9  # of a wave's number
RENAMED = {"after": "depends_on"}
HINT = "columns are: " + ", ".join(COLUMNS)
_EXPORTS = "; of an export of RVTools the English column names are read: VM, Powerstate, Template, VM UUID, VI SDK UUID"


@dataclass(frozen=True, slots=True, kw_only=True)
class VmOverride:
    """What is wanted of one VM, named in one of the ways of vm_address; *called* is what a past run called it.

    None, or no network for a card, leaves it to the mappings.

    *cluster* is whose hosts may take it where *target_host* cannot; *names* is what to call a place that is wanted by
    its reference.
    *networks* are (card label, target network), EVERY for all cards; *disks* are (disk label, target datastore), and
    *datastore* is where the VM's home goes and every disk that is not named; *wave* is its wave, from 1, and
    *depends_on* the VMs that move before it (waves.Turn), 0 and None where it says nothing of them; *line* is where it
    stands in its file, 0 for none.
    """

    vm: str
    target_host: str | None = None
    cluster: str | None = None
    names: Mapping[str, str] = field(default_factory=dict, hash=False)
    pool: str | None = None
    folder: str | None = None
    datastore: str | None = None
    networks: tuple[tuple[str, str], ...] = ()
    disks: tuple[tuple[str, str], ...] = ()
    wave: int = 0
    depends_on: tuple[str, ...] | None = None
    line: int = 0
    called: str = ""

    def network(self, label: str) -> str | None:
        """Return the target network that is wanted for the card called *label*."""
        wanted = dict(self.networks)
        return wanted.get(label, wanted.get(EVERY))


def parse(content: bytes, where: str) -> list[VmOverride]:
    """Return the overrides of the CSV *content*, by wave, else in its order; UsageError names every mistake."""
    return overrides(table(content, where, HINT), where)


def overrides(given: Table, where: str) -> list[VmOverride]:
    """Return the overrides of the table *given*, by wave, else in its order; UsageError names every mistake."""
    columns = [name.strip().lower().replace(" ", "_") for name in given.header]
    unknown = [at for at, name in enumerate(columns) if not _meant(name)]
    if len(unknown) > _MOST_UNKNOWN:
        at = unknown[0]
        message = f"{where}: line {given.line}: {len(unknown)} of {len(columns)} columns are unknown"
        raise UsageError(f"{message}, the first is column {at + 1}, {given.header[at][:40]!r}", hint=HINT + _EXPORTS)  # noqa: EM102
    mistakes = list(_header_mistakes(columns))
    if mistakes:
        raise wrong(where, [f"line {given.line}: {text}" for text in mistakes], HINT)
    found: list[VmOverride] = []
    lines: dict[str, int] = {}
    for line, row in given.rows:
        cells = {name: cell.strip() for name, cell in zip(columns, row, strict=False)}
        if cells.get("vm"):
            cells["vm"] = row[columns.index("vm")]  # a VM's name may begin or end with a blank
        if not any(cell.strip() for cell in row):
            continue
        faults = list(_row_mistakes(columns, row, cells, lines))
        mistakes += [f"line {line}: {text}" for text in faults]
        if not faults:
            found.append(_override(cells, line))
        lines.setdefault(cells["vm"], line)
    if mistakes:
        raise wrong(where, mistakes, None)
    if not found:
        message = f"{where}: no VM is listed"
        raise UsageError(message, hint=HINT)
    return sorted(found, key=lambda override: override.wave)


def check(wishes: Sequence[VmOverride], target: Inventory, where: str) -> None:
    """Raise UsageError for every name in a line of the file that the target does not have; near misses too.

    What a past run wrote has no line, and is no mistake of the user's: a place that went since then is a finding of
    its VM (checks/placement.py).
    """
    places = SiteNames(target)
    mistakes: list[str] = []
    missing: list[tuple[str, str]] = []
    for override in wishes:
        if not override.line:
            continue
        wanted = [
            ("host", override.target_host), ("resource pool", override.pool), ("VM folder", override.folder),
            ("datastore", override.datastore), *(("datastore", name) for _, name in override.disks),
            *(("network", name) for _, name in override.networks),
        ]  # fmt: skip
        for noun, name in wanted:
            if name is not None and name not in places.of(noun):
                mistakes.append(f"line {override.line}: the target has no {noun} {name!r}")
                missing.append((noun, name))
    if mistakes:  # looking for near misses among 10,000 names takes its time
        hints = [near_misses(name, places.of(noun)) for noun, name in list(dict.fromkeys(missing))[:_MOST_HINTS]]
        raise wrong(where, mistakes, "; ".join(dict.fromkeys(hints)))


def check_parts(wishes: Mapping[str, VmOverride], vms: Iterable[VirtualMachine], where: str) -> None:
    """Raise UsageError for every disk and card that a line of the file names and its VM has not; *wishes* by VM.

    What a past run wrote has no line: a disk or card that went since then needs no place.
    """
    mistakes: list[tuple[int, str]] = []
    hints: list[str] = []
    for vm in vms:
        override = wishes.get(vm.name)
        if override is None or not override.line:
            continue
        parts = (
            ("disk", override.disks, [disk.label for disk in vm.disks]),
            ("network card", override.networks, [*(nic.label for nic in vm.nics), EVERY]),
        )
        for noun, wanted, there in parts:
            for label in [label for label, _ in wanted if label not in there]:
                mistakes.append((override.line, f"line {override.line}: {vm.name!r} has no {noun} {label!r}"))
                hints.append(did_you_mean(label, there))
    if mistakes:
        raise wrong(where, [said for _, said in sorted(mistakes)], "; ".join(dict.fromkeys(hints[:_MOST_HINTS])))


def _meant(column: str) -> bool:
    """Whether *column* is one of ours, by its name now, before, or in a later version."""
    return column in COLUMNS or column in RENAMED or column in _RESERVED


def _header_mistakes(columns: Sequence[str]) -> Iterator[str]:
    for name in dict.fromkeys(columns):
        if name in _RESERVED:
            yield f"the column {name!r} is reserved for a later version"
        elif name in RENAMED:
            yield f"the column {name!r} is now called {RENAMED[name]}"
        elif name not in COLUMNS:
            yield f"there is no column {name!r}; {did_you_mean(name, COLUMNS)}"
        elif columns.count(name) > 1:
            yield f"the column {name!r} is there {columns.count(name)} times"
    if "vm" not in columns:
        yield "the column 'vm' is missing"


def _row_mistakes(
    columns: Sequence[str], row: Sequence[str], cells: dict[str, str], lines: dict[str, int]
) -> Iterator[str]:
    if len(row) > len(columns):
        yield f"has {len(row)} cells, the header has {len(columns)}"
    name = cells.get("vm", "")
    if not name:
        yield "the name of the VM is empty"
    elif name in lines:
        yield f"{name!r} is on line {lines[name]} already"
    wave = cells.get("wave", "")
    if wave and not (wave.isascii() and wave.isdecimal()):
        yield f"the wave {wave[:20]!r} is not a whole number"
    elif len(wave) > _MOST_DIGITS:
        yield f"the wave has {len(wave)} digits; it may have {_MOST_DIGITS}"
    for column, meant in (("networks", "card=network"), ("disks", "disk=datastore")):
        labels = set()
        for part in _parts(cells.get(column, "")):
            label, mark, place = (piece.strip() for piece in part.partition("="))
            if not (mark and label and place):
                yield f"{part!r} is not {meant}"
            elif label in labels:
                yield f"{label!r} is in the column {column!r} twice"
            labels.add(label)


def _override(cells: dict[str, str], line: int) -> VmOverride:
    networks = [(EVERY, cells["network"])] if cells.get("network") else []
    networks += _pairs(cells.get("networks", ""))
    return VmOverride(
        vm=cells["vm"],
        target_host=cells.get("target_host") or None,
        pool=cells.get("pool") or None,
        folder=cells.get("folder") or None,
        datastore=cells.get("datastore") or None,
        networks=tuple(networks),
        disks=tuple(_pairs(cells.get("disks", ""))),
        wave=int(cells.get("wave") or 0),
        depends_on=tuple(_parts(cells["depends_on"])) if cells.get("depends_on") else None,
        line=line,
    )


def _parts(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


def _pairs(cell: str) -> list[tuple[str, str]]:
    """Return (label, place) of each "label=place" in *cell*."""
    pairs = (part.partition("=") for part in _parts(cell))
    return [(label.strip(), place.strip()) for label, _, place in pairs]
