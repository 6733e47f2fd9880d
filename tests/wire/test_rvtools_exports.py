"""An export of RVTools chooses the VMs of a plan as it is; `--csv -` reads any list from standard input."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess

import pytest

from lab_client import Lab

COLUMNS = (
    "VM", "Powerstate", "Template", "Folder", "Datacenter", "VM ID", "SMBIOS UUID", "VM UUID", "VI SDK Server",
    "VI SDK UUID",
)  # fmt: skip
OTHER = "11111111-2222-4333-8444-555555555555"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "8", name=f"r{os.getpid()}") as up:
        up.control("source", "vm_set", vm="vm2", traits={"managed_by": "com.vmware.vim.eam/cluster-agent"})
        up.control("source", "vm_set", vm="vm3", name="web", folder="Prod")
        up.control("source", "vm_set", vm="vm4", name="web", folder="Test")
        yield up


@pytest.fixture(scope="module")
def rows(lab):
    """What RVTools writes of the VMs of the source, by their names in the lab."""
    with_uuid = lab.somebody("source")
    from pyVim.connect import Disconnect
    from pyVmomi import vim

    try:
        content = with_uuid.content
        view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
        return {
            vm._moId: {
                "VM": vm.name, "Powerstate": "poweredOn", "Template": "False", "Folder": "", "Datacenter": "DC",
                "VM ID": vm._moId, "SMBIOS UUID": vm.config.uuid, "VM UUID": vm.config.instanceUuid,
                "VI SDK Server": "as-somebody-called-it", "VI SDK UUID": content.about.instanceUuid.upper(),
            }
            for vm in view.view
        }  # fmt: skip
    finally:
        Disconnect(with_uuid)


def text(rows, columns=COLUMNS, separator=",") -> str:
    to = io.StringIO()
    writer = csv.DictWriter(to, columns, extrasaction="ignore", delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return to.getvalue()


def planned(lab, content: str | bytes, *arguments: str) -> dict:
    (lab.folder / "export.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return lab.json("plan", "--mode", "stock", "--csv", "export.csv", *arguments)


def moves(made: dict) -> list[str]:
    return [move["vm"] for move in made["migrations"]]


def test_all_of_it_is_chosen_but_what_is_no_load(lab, rows):
    """Templates, infrastructure and rows of other vCenters are counted, in one sentence each."""
    others = [{**row, "VI SDK UUID": OTHER, "VI SDK Server": "vc-b"} for row in list(rows.values())[:2]]
    template = {**next(iter(rows.values())), "VM": "gold", "Template": "True", "VM UUID": OTHER}
    made = planned(lab, text([*rows.values(), *others, template], separator=";").encode("utf-16"), "--skip-refused")
    assert len(made["migrations"]) + len(made["refused"]) == 7  # two of one name would share a folder
    assert {"vm1", "vm5", "vm6", "vm7", "vm8"} <= set(moves(made))
    said = [found["summary"] for found in made["findings"] if found["code"] == "vm-left-out"]
    assert said == [
        "2 VMs of export.csv left out, of another vCenter: 'vc-b'",
        "1 vCLS VM left out: vm2",
        "1 template left out: gold",
    ]


def test_a_vm_is_told_by_its_uuid_whatever_it_is_called_now(lab, rows):
    """By either UUID, and without one by its name in datacenter and folder."""
    named = {row["VM ID"]: row for row in rows.values()}
    one = next(row for row in named.values() if row["VM"] == "vm5")
    renamed = {**one, "VM": "before"}
    assert moves(planned(lab, text([renamed]))) == ["vm5"]
    assert moves(planned(lab, text([renamed], [name for name in COLUMNS if name != "VM UUID"]))) == ["vm5"]
    old = [name for name in COLUMNS if name != "SMBIOS UUID"]
    assert moves(planned(lab, text([{**renamed, "VM UUID": one["SMBIOS UUID"]}], old))) == ["vm5"]
    bare = [name for name in COLUMNS if "UUID" not in name or "SDK" in name]
    assert moves(planned(lab, text([{**one, "VM": "web", "Folder": "DC/vm/Prod"}], bare))) == ["web"]


def test_what_is_not_one_vm_of_the_source_is_said_with_its_line(lab, rows):
    """By the name that it has in the export; nothing is chosen in its place."""
    row = next(row for row in rows.values() if row["VM"] == "vm5")
    bare = [name for name in COLUMNS if "UUID" not in name or "SDK" in name]
    for content, said in (
        (text([{**row, "VM UUID": OTHER}]), f"export.csv: source: line 2: no VM has the UUID of 'vm5', {OTHER}"),
        (text([{**row, "VM": "web"}], bare), "line 2: 2 VMs are called 'web': 'Prod/web', 'Test/web'"),
        (text([{**row, "Datacenter": "DC2"}], bare), "line 2: no VM is called 'DC2:vm5'"),
        (text([{**row, "VI SDK UUID": OTHER}]), "no VM is of the source vCenter 127.0.0.1"),
        (text([{**row, "Template": "True"}]), "no VM is left but what is left out: 1 template"),
        ("PK\x03\x04 a workbook", "export.csv: this is an Excel workbook, and CSV is needed"),
    ):
        (lab.folder / "export.csv").write_text(content)
        done = lab.run("plan", "--mode", "stock", "--csv", "export.csv")
        assert done.returncode == 2, (done.stdout, done.stderr)
        assert said in done.stderr


def test_a_list_comes_from_standard_input(lab, rows):
    """An export or a list of ours; migrate cannot ask then."""
    for content in (text([next(row for row in rows.values() if row["VM"] == "vm6")]), "vm\nvm6\n"):
        done = lab_run(lab, content.encode(), "plan", "--mode", "stock", "--output", "json")
        assert done.returncode == 0, done.stderr
        assert moves(json.loads(done.stdout)) == ["vm6"]
    done = lab_run(lab, b"vm\nvm6\n", "migrate", "--mode", "stock")
    assert (done.returncode, "--csv - leaves no terminal to confirm on" in done.stderr) == (2, True)
    done = lab_run(lab, b"vm,wave\nvm6,x\n", "plan")
    assert (done.returncode, "standard input: line 2: the wave 'x'" in done.stderr) == (2, True)


def test_standard_input_that_holds_no_list_is_said(lab):
    """A terminal, which nobody would know to type at, and one that is empty."""
    done = lab_run(lab, b"\n", "plan")
    assert (done.returncode, "--csv -: standard input is empty" in done.stderr) == (2, True)
    master, slave = pty.openpty()
    try:
        done = subprocess.run(
            lab.argv("plan", "--csv", "-"), stdin=slave, capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        os.close(master)
        os.close(slave)
    assert (done.returncode, "--csv -: standard input is a terminal" in done.stderr) == (2, True)


def lab_run(lab, given: bytes, *arguments: str) -> subprocess.CompletedProcess:
    done = subprocess.run(
        lab.argv(*arguments, "--csv", "-"), input=given, capture_output=True, timeout=120, check=False, cwd=lab.folder
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
