"""An export of RVTools, its sheet vInfo, as a list of VMs: recognised by its header; whose rows are of one vCenter.

Columns by RVTools 3.9 to 4.7, and with -DBColumnNames (vInfoVMName): "VM UUID" is config.instanceUuid where
"SMBIOS UUID" (config.uuid) stands beside it; earlier versions had config.uuid there and the other one nowhere.
"VI SDK UUID" is about.instanceUuid, "VI SDK Server" what the user connected to. Custom attributes are columns between
Annotation and Datacenter, under any name, also one that the export has itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from lrvmotion.config.csv_table import Table
from lrvmotion.config.vm_csv import COLUMNS
from lrvmotion.errors import UsageError
from lrvmotion.model.inventory import natural
from lrvmotion.model.vm import vm_address
from lrvmotion.model.vm.vm_address import VmIdentity

HINT = "export the sheet vInfo of RVTools again, or write a file with the column vm"
_MOST_SERVERS, _LONGEST = 3, 80
_COLUMNS: Mapping[str, tuple[str, ...]] = {  # by letters and digits alone, in lower case
    "VM": ("vm", "vinfovmname"),
    "Powerstate": ("powerstate", "vinfopowerstate"),
    "Template": ("template", "vinfotemplate"),
    "Folder": ("folder", "vinfofolder"),
    "Datacenter": ("datacenter", "vinfodatacenter"),
    "SMBIOS UUID": ("smbiosuuid", "vmsmbiosuuid", "vinfosmbiosuuid"),
    "VM UUID": ("vmuuid", "vinfouuid", "vinfovmuuid"),
    "VM Instance UUID": ("vminstanceuuid", "vinfoinstanceuuid", "vinfovminstanceuuid"),
    "VI SDK Server": ("visdkserver", "vinfovisdkserver"),
    "VI SDK UUID": ("visdkuuid", "vinfovisdkuuid"),
}
_BEFORE_ATTRIBUTES = frozenset({"VM", "Powerstate", "Template", "Folder"})
_SIGNS = frozenset({"Powerstate", "VI SDK Server", "VI SDK UUID"})  # what no list of ours has
_WHOSE = ("VI SDK UUID", "VI SDK Server")
_UUIDS = ("VM Instance UUID", "VM UUID", "SMBIOS UUID")
# The other sheets that have a row for each CPU, disk, card and so on of a VM, by a column that vInfo has not.
_OTHER_SHEETS = {
    "sockets": "vCPU", "sizemib": "vMemory", "sizemb": "vMemory", "diskmode": "vDisk", "consumedmib": "vPartition",
    "consumedmb": "vPartition", "niclabel": "vNetwork", "quiesced": "vSnapshot", "toolsversion": "vTools",
    "ehcienabled": "vUSB", "devicenode": "vCD",
}  # fmt: skip
_OURS = frozenset({"target_host", "depends_on"})  # nobody calls a custom attribute so
_TRUE, _FALSE = frozenset({"true", "1"}), frozenset({"false", "0", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedVm:
    """A row of an export, on *line*: one VM of the vCenter *server*, whose instance is *server_uuid*.

    *instance_uuid* and *bios_uuid* are its UUIDs, *either_uuid* one that may be the one or the other; "" for none.
    """

    line: int
    name: str
    template: bool
    server: str
    server_uuid: str
    instance_uuid: str = ""
    bios_uuid: str = ""
    either_uuid: str = ""
    datacenter: str = ""
    folder: str = ""

    def is_of(self, server: str, instance_uuid: str) -> bool:
        """Whether the vCenter at *server*, which has *instance_uuid*, is the one that it was read from."""
        if self.server_uuid and instance_uuid:
            return self.server_uuid.lower() == instance_uuid.lower()
        one, other = _host(self.server), _host(server)
        if one == other or any(_is_address(host) for host in (one, other)):
            return one == other
        short = one.partition(".")[0] == other.partition(".")[0]  # "vc1" is "vc1.example.com"
        return short and ("." in one) != ("." in other)

    def may_be(self, vm: VmIdentity) -> bool:
        """Whether *vm*, which has its name, is where the export says."""
        if self.datacenter and self.datacenter not in {vm.datacenter, vm.short_datacenter}:
            return False
        if not self.folder or vm.folder is None:
            return True
        wholes = (f"/{vm.datacenter}/vm/{vm.folder}", f"/{vm.datacenter}/{vm.folder}")
        return any(whole.rstrip("/").endswith("/" + self.folder.strip("/")) for whole in wholes)


def is_export(given: Table) -> bool:
    """Whether the header of *given* is that of an export of RVTools."""
    return any(name in _SIGNS for name in _meant(given.header).values())


def exported(given: Table, where: str) -> list[ExportedVm]:
    """Return the VMs of the export *given*; UsageError with the line or the column of the first mistake in it."""
    columns = _columns(given, where)
    found: list[ExportedVm] = []
    mistakes: list[str] = []
    lines: dict[tuple[str, ...], int] = {}
    for line, row in given.rows:
        if not any(cell.strip() for cell in row):
            continue
        wrong = next(_row_mistakes(columns, len(given.header), row), None)
        if wrong is None:
            vm = _vm(columns, row, line)
            first = lines.setdefault(_identity(vm), line)
            wrong = f"{vm.name!r} is on line {first} already" if first != line else None
            found.append(vm)
        if wrong is not None:
            mistakes.append(f"line {line}: {wrong}")
    if mistakes:
        more = len(mistakes) - 1
        also = f", and {more} more {'line is' if more == 1 else 'lines are'} wrong" if more else ""
        raise UsageError(f"{where}: {mistakes[0]}{also}", hint=HINT)  # noqa: EM102
    if not found:
        message = f"{where}: no VM is listed"
        raise UsageError(message, hint=HINT)
    return found


def of_vcenter(
    vms: Sequence[ExportedVm], server: str, instance_uuid: str, where: str
) -> tuple[list[ExportedVm], dict[str, int]]:
    """Return those of *vms* that the vCenter *server* has, and how many are of which others; UsageError for none."""
    own = [vm for vm in vms if vm.is_of(server, instance_uuid)]
    others: dict[str, int] = {}
    for vm in vms:
        if not vm.is_of(server, instance_uuid):
            others[vm.server or vm.server_uuid] = others.get(vm.server or vm.server_uuid, 0) + 1
    if not own:
        names = [repr(name[:_LONGEST]) for name in sorted(others, key=natural)]
        more = f" and {left} more" if (left := len(names) - _MOST_SERVERS) > 0 else ""
        message = (
            f"{where}: no VM is of the source vCenter {server}: they are of {', '.join(names[:_MOST_SERVERS])}{more}"
        )
        raise UsageError(message, hint=f"connect RVTools to {server} and export its sheet vInfo")
    return own, others


def _columns(given: Table, where: str) -> dict[str, int]:
    """Return at which place each column stands that is read."""
    columns: dict[str, int] = {}
    meant = _meant(given.header)
    for at, name in meant.items():
        if name not in columns or name not in _BEFORE_ATTRIBUTES:
            columns[name] = at
    plain = [_plain(name) for name in given.header]
    other = next((at for at, name in enumerate(plain) if name in _OTHER_SHEETS), None)
    if other is not None and not {"nics", "vinfonics"} & set(plain):
        sheet = _OTHER_SHEETS[plain[other]]
        message = f"{where}: line {given.line}: column {other + 1}, {given.header[other]!r}, is of the sheet {sheet}"
        raise UsageError(message, hint="the sheet vInfo is needed: it has one row for each VM (RVTools_tabvInfo.csv)")
    if "VM" not in columns:
        message = f"{where}: line {given.line}: the column 'VM' is missing"
        raise UsageError(message, hint=HINT)
    if not any(name in columns for name in _WHOSE):
        message = f"{where}: line {given.line}: the columns 'VI SDK UUID' and 'VI SDK Server' are missing"
        raise UsageError(message, hint=f"they say of which vCenter a VM is; {HINT}")
    ours = next((at for at, name in enumerate(given.header) if _is_ours(name, at, columns)), None)
    if ours is not None:
        message = f"{where}: line {given.line}: column {ours + 1}, {given.header[ours]!r}, says where VMs go, or when"
        raise UsageError(
            message, hint="an export says only which; 'lrvmotion vms --output csv' writes a file that has these columns"
        )
    return columns


def _is_ours(name: str, at: int, columns: Mapping[str, int]) -> bool:
    """Whether somebody added a column of our own list: custom attributes, which may be called so, stand elsewhere."""
    said = name.strip().lower().replace(" ", "_")
    return said in _OURS or (said in COLUMNS and at > max(columns.values()))


def _meant(header: Sequence[str]) -> dict[int, str]:
    """Return the columns of *header* that are read, by their place."""
    names = {plain: name for name, plains in _COLUMNS.items() for plain in plains}
    return {at: names[_plain(cell)] for at, cell in enumerate(header) if _plain(cell) in names}


def _plain(cell: str) -> str:
    return re.sub(r"[^0-9a-z]", "", cell.lower()) if cell.isascii() else cell


def _row_mistakes(columns: Mapping[str, int], width: int, row: Sequence[str]) -> Iterator[str]:
    if len(row) < width or any(cell.strip() for cell in row[width:]):
        yield f"has {len(row)} {'cell' if len(row) == 1 else 'cells'}, the header has {width}"
        return
    cells = {name: row[at].strip() for name, at in columns.items()}
    if not cells["VM"]:
        yield "the name of the VM is empty"
    if not any(cells.get(name) for name in _WHOSE):
        yield f"{cells['VM']!r} has neither a 'VI SDK UUID' nor a 'VI SDK Server'"
    if (template := cells.get("Template", "")).lower() not in _TRUE | _FALSE:
        yield f"{template[:40]!r} in the column 'Template' is neither True nor False"
    for name in _UUIDS:
        if (uuid := cells.get(name, "")) and not vm_address.is_uuid(uuid):
            yield f"{uuid[:40]!r} in the column {name!r} is not a UUID"


def _vm(columns: Mapping[str, int], row: Sequence[str], line: int) -> ExportedVm:
    cells = {name: row[at].strip() for name, at in columns.items()}
    instance, bios, uuid = (cells.get(name, "").lower() for name in ("VM Instance UUID", "SMBIOS UUID", "VM UUID"))
    if "VM Instance UUID" in columns:  # then the other one is the BIOS's
        bios, uuid = bios or uuid, ""
    elif "SMBIOS UUID" in columns:
        instance, uuid = uuid, ""
    return ExportedVm(
        line=line,
        name=row[columns["VM"]],  # a VM's name may begin or end with a blank
        template=cells.get("Template", "").lower() in _TRUE,
        server=cells.get("VI SDK Server", ""),
        server_uuid=cells.get("VI SDK UUID", ""),
        instance_uuid=instance,
        bios_uuid=bios,
        either_uuid=uuid,
        datacenter=cells.get("Datacenter", ""),
        folder=cells.get("Folder", ""),
    )


def _identity(vm: ExportedVm) -> tuple[str, ...]:
    """Return what no two rows share: clones share a BIOS UUID, and names repeat."""
    whose = (vm.server_uuid or vm.server).lower()
    if vm.instance_uuid:
        return whose, vm.instance_uuid
    return whose, vm.bios_uuid or vm.either_uuid, vm.datacenter, vm.folder, vm.name


def _host(server: str) -> str:
    """Return the host of *server*: RVTools takes a URL, too."""
    bare = server.strip().lower()
    if bare.count(":") > 1 and "[" not in bare and "//" not in bare:  # a bare IPv6 address
        return bare
    try:
        host = urlsplit(bare if "://" in bare else f"//{bare}").hostname
    except ValueError:
        host = None
    return (host or bare).rstrip(".")


def _is_address(host: str) -> bool:
    return ":" in host or re.fullmatch(r"[0-9.]+", host) is not None
