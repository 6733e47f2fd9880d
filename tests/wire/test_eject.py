"""--eject: what drives hold is recorded, ejected before the move, and restored where the VM stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lrvmotion.checks import vms as vm_checks
from lrvmotion.events import Changed, Left, Move
from lrvmotion.journal.journal import Journal
from lrvmotion.journal.records import Intended, Reverted, of
from lrvmotion.model.setting import document
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan.schedule import Schedule
from lrvmotion.run.apply import revert
from lrvmotion.run.drift import look
from lrvmotion.run.moves.migration_driver import drive
from lrvmotion.run.moves.vm_settings import VmSettings
from lrvmotion.vsphere.inventory.collect import collect_vms
from lrvmotion.vsphere.vcenter_target import VcenterTarget
from lrvmotion.vsphere.vm import drives
from lrvmotion.vsphere.vm.relocate import RelocateMover, find
from queued import collaborators
from wire.no_net_lab import no_net_lab
from wire.single_moves import planned, small_vms, traits

ISO = "[iso] debian.iso"
LOCKED = "msg.cdromdisconnect.locked"


@pytest.fixture(scope="module")
def lab():
    with no_net_lab(small_vms(14)) as running:
        yield running


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path, lambda: "2026-01-01T00:00:00.000+00:00") as opened:
        yield opened


def insert(lab, vm: str, iso: str | None = ISO, **given) -> None:
    """Connect an ISO image to the VM's drive, and give it traits."""
    traits(lab, vm, **given)
    lab.control("source", "vm_device", vm=vm, iso=iso)


def drives_of(lab, site, vm: str) -> list[dict]:
    """What the VM's drives hold there."""
    found = find(lab.session(site), lab.uuids[vm])
    devices = drives.Drives(lab.session(site)).devices(found, vm)
    return [drives._value(one).as_document() for one in devices if isinstance(one, drives._CD | drives._FLOPPY)]


def driven(lab, journal, vm: str, spoil=lambda: None, *, eject: bool = True):
    """Move a VM with --eject; return how that ended, and what was told. *spoil* is called before each start."""
    migration, told = planned(lab, vm), []
    lab.uuids = {**getattr(lab, "uuids", {}), vm: migration.instance_uuid}

    class Hooks:
        def hold(self, _migration):
            spoil()
            return []

        def ended(self, *_):
            pass

    settings = VmSettings(
        run="abc", journal=journal, vcenter=VcenterTarget(lab.source, "source"), observer=told.append,
        hooks=Hooks(), eject=eject,
    )  # fmt: skip
    with RelocateMover(lab.source, lab.target) as mover:
        run = replace(collaborators(append=lambda body: journal.append("abc", body)), hooks=settings)
        drive((migration,), Schedule((migration,)), mover, told.append, run)
    return [event for event in told if isinstance(event, Move)][-1], told


EMPTY = {"media": "client", "name": "", "connected": False, "start_connected": False}


def test_an_iso_image_is_ejected_recorded_first_and_the_vm_moves(lab, journal):
    """The record says what it was and where from; nothing of it is outstanding once the VM has left."""
    insert(lab, "vm1")
    last, told = driven(lab, journal, "vm1")
    assert last.state == "success", last
    ((_, intended),) = of(Intended, journal.records)
    assert (intended.target, intended.key.words) == ("source", "vm1: CD/DVD drive 1")
    assert intended.prior == document(media="iso", name=ISO, connected=True, start_connected=True)
    kinds = [record.kind for record in journal.records]
    assert kinds.index("intended") < kinds.index("applied") < kinds.index("move")
    ((_, closed),) = of(Reverted, journal.records)
    assert (closed.gone, closed.value) == (True, intended.prior)
    assert journal.outstanding() == []
    assert [event.how for event in told if isinstance(event, Changed)] == ["applied", "departed"]
    assert drives_of(lab, "target", "vm1") == [EMPTY]


@pytest.mark.parametrize(
    ("vm", "given", "count"),
    [
        ("vm2", {"plugged": ["floppy"]}, 2),
        ("vm3", {"second_iso": "[iso] drivers.iso"}, 2),
        ("vm4", {"plugged": ["cdrom"]}, 1),
    ],
)
def test_every_drive_that_is_connected_is_ejected(lab, journal, vm, given, count):
    """Two CD drives, a floppy, a client's device."""
    insert(lab, vm, ISO if count > 1 else None, **given)
    last, _ = driven(lab, journal, vm)
    assert last.state == "success", last
    assert len([*of(Intended, journal.records)]) == count
    assert journal.outstanding() == []


def test_a_vm_that_does_not_move_has_its_images_again(lab, journal):
    """Both drives, connected and connected at power-on as before."""
    insert(lab, "vm5", second_iso="[iso] drivers.iso", breaks=True)
    before = drives_before(lab, "vm5")
    last, _ = driven(lab, journal, "vm5")
    assert last.state == "error"
    assert drives_of(lab, "source", "vm5") == before
    assert journal.outstanding() == []


def drives_before(lab, vm: str) -> list[dict]:
    lab.uuids = {**getattr(lab, "uuids", {}), vm: planned(lab, vm).instance_uuid}
    return drives_of(lab, "source", vm)


def test_a_locked_door_is_overridden(lab, journal):
    """Whoever says --eject wants that; the question is answered, and nothing waits."""
    insert(lab, "vm6", locked=LOCKED)
    last, _ = driven(lab, journal, "vm6")
    assert last.state == "success", last


def test_any_other_question_holds_the_vm(lab, journal):
    """It is told, the reconfigure is cancelled, and the image is where it was."""
    insert(lab, "vm7", locked="The host's drive burns.")
    last, _ = driven(lab, journal, "vm7")
    assert (last.state, "The host's drive burns." in last.reason) == ("held", True)
    assert drives_of(lab, "source", "vm7")[0]["connected"]
    assert journal.outstanding() == []


def test_an_account_that_may_not_eject_holds_the_vm(lab, journal):
    """vCenter names the privilege."""
    insert(lab, "vm8")
    lab.fault("source", method="ReconfigVM_Task", object="vm8", fault="vim.fault.NoPermission")
    last, _ = driven(lab, journal, "vm8")
    assert last.state == "held"
    assert "lacks the privilege" in last.reason
    assert journal.outstanding() == []


def test_without_eject_nothing_is_touched(lab, journal):
    """The move is refused by vCenter, as before."""
    insert(lab, "vm9")
    last, _ = driven(lab, journal, "vm9", eject=False)
    assert last.state == "error"
    assert [*of(Intended, journal.records)] == []


def test_what_somebody_inserted_meanwhile_stays(lab, journal):
    """It is named, and the setting stays outstanding."""
    insert(lab, "vm10", breaks=True)
    target = VcenterTarget(lab.source, "source")
    migration = planned(lab, "vm10")
    settings = VmSettings(
        run="abc", journal=journal, vcenter=target, observer=lambda _: None, hooks=collaborators().hooks, eject=True
    )
    assert settings.hold(migration) == []
    lab.control("source", "vm_device", vm="vm10", iso="[iso] another.iso")
    told = []
    settings.observer = told.append
    settings.close(())
    (left,) = [event for event in told if isinstance(event, Left)]
    assert "[iso] another.iso" in left.reason
    (outstanding,) = journal.outstanding()
    assert look([outstanding], lambda _, key: target.read(key)).theirs


@pytest.mark.parametrize(("vm", "keep"), [("vm11", 1), ("vm12", 2)])
def test_a_death_at_each_record_leaves_what_restore_undoes(lab, tmp_path, vm, keep):
    """Intended and not written, written and not recorded: the image is in the drive again after a restore."""
    insert(lab, vm)
    before, migration = drives_before(lab, vm), planned(lab, vm)
    target = VcenterTarget(lab.source, "source")
    with Journal(tmp_path, lambda: "2026-01-01T00:00:00.000+00:00") as journal:
        settings = VmSettings(
            run="abc", journal=journal, vcenter=target, observer=lambda _: None, hooks=collaborators().hooks, eject=True
        )
        if keep == 1:  # the write fails after its record
            lab.fault("source", method="ReconfigVM_Task", object=vm, fault="vim.fault.InvalidState", count=1)
            with pytest.raises(Exception, match="CD/DVD drive 1"):
                settings.hold(migration)
        else:
            settings.hold(migration)
    lines = (tmp_path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "journal.jsonl").write_bytes(b"".join(lines[:1]))
    with Journal(tmp_path, lambda: "2026-01-01T00:00:00.000+00:00") as journal:
        revert(journal, lambda name: VcenterTarget(lab.source, name.connection), lambda _: None, run="def")
        assert journal.outstanding() == []
    assert drives_of(lab, "source", vm) == before


def test_a_vm_that_has_left_has_nothing_to_restore(lab, journal):
    """A restore after a crash closes its settings without a write; so does the next run."""
    insert(lab, "vm13")
    settings = VmSettings(
        run="abc", journal=journal, vcenter=VcenterTarget(lab.source, "source"), observer=lambda _: None,
        hooks=collaborators().hooks, eject=True,
    )  # fmt: skip
    migration = planned(lab, "vm13")
    settings.hold(migration)
    lab.control("source", "vm_leave", vm="vm13")
    seen = look(journal.outstanding(), lambda _, key: settings.vcenter.read(key))
    assert len(seen.gone) == 1
    done = revert(journal, lambda _: settings.vcenter, lambda _: None, run="def")
    assert (done.done, done.left, journal.outstanding()) == (1, [], [])


def test_the_finding_is_a_warning_with_it_and_hints_at_it_without(lab):
    """Other devices stay errors."""
    insert(lab, "vm14", plugged=["floppy", "usb"])
    source = lab.inventory("source")
    (vm,) = collect_vms(lab.source, source, [dict(source.vm_names)["vm14"]]).vms
    with_it = {one.code: one.severity for one in vm_checks.alone(vm, eject=True)}
    without = {one.code: one for one in vm_checks.alone(vm)}
    assert (with_it["vm-iso"], with_it["vm-floppy"], with_it["vm-usb"]) == ("warning", "warning", "error")
    assert without["vm-iso"].severity == "error"
    assert "--eject" in without["vm-iso"].hint
    assert TargetId.vcenter("source").is_vcenter
