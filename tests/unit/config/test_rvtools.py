"""An export of RVTools is read as it is; what is none, or another sheet or language, is one sentence."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrvmotion.config import csv_table, rvtools, vm_csv
from lrvmotion.config.rvtools import ExportedVm
from lrvmotion.errors import UsageError
from lrvmotion.model.inventory import MoRef
from lrvmotion.model.vm.vm_address import VmIdentity

# The columns of RVTools 4.6, with three custom attributes between Annotation and Datacenter.
HEADER = next(csv.reader([(
    "VM,Powerstate,Template,SRM Placeholder,Config status,DNS Name,Connection state,Guest state,Heartbeat,"
    "Consolidation Needed,PowerOn,Suspended To Memory,Suspend time,Suspend Interval,Creation date,Change Version,CPUs,"
    "Overall Cpu Readiness,Memory,Active Memory,NICs,Disks,Total disk capacity MiB,Fixed Passthru HotPlug,"
    "min Required EVC Mode Key,Latency Sensitivity,Op Notification Timeout,EnableUUID,CBT,Primary IP Address,"
    "Network #1,Network #2,Network #3,Network #4,Network #5,Network #6,Network #7,Network #8,Num Monitors,"
    "Video Ram KiB,Resource pool,Folder ID,Folder,vApp,DAS protection,FT State,FT Role,FT Latency,FT Bandwidth,"
    "FT Sec. Latency,Vm Failover In Progress,Provisioned MiB,In Use MiB,Unshared MiB,HA Restart Priority,"
    "HA Isolation Response,HA VM Monitoring,Cluster rule(s),Cluster rule name(s),Boot Required,Boot delay,"
    "Boot retry delay,Boot retry enabled,Boot BIOS setup,Reboot PowerOff,EFI Secure boot,Firmware,HW version,"
    "HW upgrade status,HW upgrade policy,HW target,Path,Log directory,Snapshot directory,Suspend directory,Annotation,"
    "NB_LAST_BACKUP,Owner,Datacenter,Datacenter,Cluster,Host,OS according to the configuration file,"
    "OS according to the VMware Tools,Customization Info,Guest Detailed Data,VM ID,SMBIOS UUID,VM UUID,"
    "VI SDK Server type,VI SDK API Version,VI SDK Server,VI SDK UUID"
)]))  # fmt: skip
VCENTER = "258FD56F-AB48-4992-9D1D-8CED6C827CF0"


def uuid(number: int, of: str = "5029") -> str:
    return f"{of}a0f4-0000-4000-8000-{number:012d}"


def row(number: int, columns=HEADER, **cells: str) -> list[str]:
    known = {
        "VM": f"web{number}", "Powerstate": "poweredOn", "Template": "False", "SMBIOS UUID": uuid(number, "422e"),
        "VM UUID": uuid(number), "VI SDK Server": "vc-a.example", "VI SDK UUID": VCENTER, "Datacenter": "DC1",
    } | {name.replace("_", " "): cell for name, cell in cells.items()}  # fmt: skip
    return [known.get(name, "") for name in columns]


def text(*rows: list[str], columns=HEADER, separator: str = ",") -> str:
    to = io.StringIO()
    csv.writer(to, delimiter=separator).writerows([list(columns), *rows])
    return to.getvalue()


def read(content: str | bytes) -> list[ExportedVm]:
    table = csv_table.table(content if isinstance(content, bytes) else content.encode(), "e.csv", vm_csv.HINT)
    assert rvtools.is_export(table)
    return rvtools.exported(table, "e.csv")


def refused(content: str | bytes) -> UsageError:
    with pytest.raises(UsageError) as caught:
        read(content)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_it_is_read_in_every_encoding_and_with_every_separator(separator, encoding):
    """Names with separators, quotation marks and line ends, umlauts, custom attributes of any name."""
    rows = [row(1, VM='we;b,\t"1"', Annotation="two\nlines"), row(2, VM="Müller", Template="True")]
    found = read(text(*rows, separator=separator).encode(encoding))
    assert [(vm.name, vm.line, vm.template) for vm in found] == [('we;b,\t"1"', 2, False), ("Müller", 4, True)]
    assert (found[0].instance_uuid, found[0].bios_uuid, found[0].server_uuid) == (uuid(1), uuid(1, "422e"), VCENTER)


def test_which_uuid_it_has_is_told_by_its_columns():
    """Before RVTools had both, "VM UUID" was that of the BIOS; the names of its database are read, too."""
    old = [name for name in HEADER if name != "SMBIOS UUID"]
    (vm,) = read(text(row(1, old), columns=old))
    assert (vm.instance_uuid, vm.bios_uuid, vm.either_uuid) == ("", "", uuid(1))
    named = ["vInfoVMName", "vInfoPowerstate", "vInfoTemplate", "vInfoUUID", "vInfoInstanceUUID", "vInfoVISDKServer"]
    (vm,) = read(text(["web1", "poweredOn", "False", uuid(1, "422e"), uuid(1), "vc-a"], columns=named))
    assert (vm.name, vm.instance_uuid, vm.bios_uuid) == ("web1", uuid(1), uuid(1, "422e"))


def test_a_custom_attribute_of_a_columns_name_is_not_taken_for_it():
    """They stand between Annotation and Datacenter."""
    columns = [
        *HEADER[: HEADER.index("Datacenter")],
        "VM",
        "Template",
        "VM UUID",
        "wave",
        "network",
        *HEADER[HEADER.index("Datacenter") :],
    ]
    cells = dict(zip(HEADER, row(1), strict=True))
    at = columns.index("VM", 1)
    line = [cells.get(name, "") for name in columns]
    line[at : at + 3] = ["other", "perhaps", "none"]
    first = columns.index("Datacenter")
    line[first] = "of somebody"
    (vm,) = read(text(line, columns=columns))
    assert (vm.name, vm.template, vm.instance_uuid, vm.datacenter) == ("web1", False, uuid(1), "DC1")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (text(row(1), row(2, Template="FALSCH")), "line 3: 'FALSCH' in the column 'Template' is neither True nor"),
        (text(*[row(number, Template="no") for number in range(3)]), ", and 2 more lines are wrong"),
        (text(row(1), row(2, VM_UUID="5029")), "line 3: '5029' in the column 'VM UUID' is not a UUID"),
        (text(row(1), row(2), row(1)), "line 4: 'web1' is on line 2 already"),
        (text(row(1), row(2)[:-3]), f"line 3: has {len(HEADER) - 3} cells, the header has {len(HEADER)}"),
        (text(row(1), [*row(2), "", "x"]), f"line 3: has {len(HEADER) + 2} cells"),
        (text(row(1, VM=" ")), "line 2: the name of the VM is empty"),
        (text(row(1, VI_SDK_UUID="", VI_SDK_Server="")), "line 2: 'web1' has neither a 'VI SDK UUID' nor a 'VI SDK"),
        (text(), "no VM is listed"),
        (text(columns=["Powerstate"]), "line 1: the column 'VM' is missing"),
        (text(columns=["VM", "Powerstate"]), "line 1: the columns 'VI SDK UUID' and 'VI SDK Server' are missing"),
        (text(columns=["VM", "Powerstate", "Disk Mode"]), "line 1: column 3, 'Disk Mode', is of the sheet vDisk"),
        (text(columns=[*HEADER, "Wave"]), f"line 1: column {len(HEADER) + 1}, 'Wave', says where VMs go, or when"),
        (text(columns=["target_host", *HEADER]), "line 1: column 1, 'target_host', says where VMs go, or when"),
        (text(columns=["VM", "Powerstate", "NIC label"]), "'NIC label', is of the sheet vNetwork"),
    ],
    ids=range(15),
)  # fmt: skip
def test_what_is_wrong_in_it_is_one_sentence(content, said):
    """With the line or the column."""
    assert said in refused(content).message


def test_more_cells_that_are_empty_are_none():
    """Spreadsheets add them; an empty line is none, either."""
    assert [vm.line for vm in read(text([*row(1), "", ""], [], row(2)))] == [2, 4]


@pytest.mark.parametrize(
    ("server", "uuid", "of"),
    [
        ("vc-b", VCENTER.lower(), True), ("vc-a.example", uuid(1), False), ("vc-a.example", "", True),
        ("VC-A.Example.", "", True), ("vc-a", "", True), ("https://vc-a.example/sdk", "", True),
        ("vc-a.example:443", "", True), ("vc-a.test", "", False), ("vc", "", False), ("10.0.0.1", "", False),
    ],
)  # fmt: skip
def test_a_row_is_of_the_vcenter_whose_instance_it_names(server, uuid, of):
    """By its UUID; without one by its host name, a short one as well."""
    vm = ExportedVm(line=2, name="a", template=False, server=server, server_uuid=uuid)
    assert vm.is_of("vc-a.example", VCENTER) is of


def test_addresses_are_compared_whole():
    """10.0.0.1 is not 10."""
    for own, other in (("10.0.0.1", "10"), ("[fd00::1]:443", "[fd00::2]:443"), ("fd00::1", "fd00::2")):
        assert not ExportedVm(line=2, name="a", template=False, server=own, server_uuid="").is_of(other, "")
    assert ExportedVm(line=2, name="a", template=False, server="[fd00::1]:443", server_uuid="").is_of("fd00::1", "")


def test_an_export_of_another_vcenter_is_refused_with_its_name():
    """Rows of others beside those of the source are counted."""
    others = [row(number, VI_SDK_UUID=uuid(9), VI_SDK_Server="vc-b") for number in (2, 3)]
    vms = read(text(row(1), *others))
    own, others = rvtools.of_vcenter(vms, "vc-a.example", VCENTER, "e.csv")
    assert ([vm.name for vm in own], others) == (["web1"], {"vc-b": 2})
    with pytest.raises(UsageError, match=r"no VM is of the source vCenter vc-c: they are of 'vc-a\.example', 'vc-b'"):
        rvtools.of_vcenter(vms, "vc-c", uuid(7), "e.csv")


@pytest.mark.parametrize(
    ("datacenter", "folder", "may_be"),
    [
        ("DC1", "", True), ("EU/DC1", "", True), ("DC2", "", False), ("", "", True), ("DC1", "Prod/Web", True),
        ("DC1", "/DC1/vm/Prod/Web", True), ("DC1", "Web", True), ("DC1", "Test/Web", False), ("DC1", "eb", False),
    ],
)  # fmt: skip
def test_a_row_without_a_uuid_is_the_vm_in_its_datacenter_and_folder(datacenter, folder, may_be):
    """However much of the folder's path is written."""
    vm = ExportedVm(line=2, name="a", template=False, server="", server_uuid="", datacenter=datacenter, folder=folder)
    ref = MoRef("VirtualMachine", "vm-1")
    assert vm.may_be(VmIdentity(ref=ref, name="a", folder="Prod/Web", datacenter="EU/DC1")) is may_be


def test_ten_thousand_rows_are_read_at_once():
    """With every identity."""
    found = read(text(*(row(number) for number in range(10_000))))
    assert len({vm.instance_uuid for vm in found}) == 10_000


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_whatever_is_cut_out_of_one_is_a_list_or_a_sentence(data):
    """Never a traceback, and never a VM that is not in it."""
    rows = text(row(1), row(2, Annotation='"x"\n'), row(3, Template="True"))
    whole = rows.encode(data.draw(st.sampled_from(["utf-8", "utf-16"])))
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    try:
        table = csv_table.table(whole[:start] + whole[end:], "e.csv", vm_csv.HINT)
        if rvtools.is_export(table):
            rvtools.exported(table, "e.csv")
        else:
            vm_csv.overrides(table, "e.csv")
    except UsageError as error:
        assert error.message.startswith("e.csv: ")
