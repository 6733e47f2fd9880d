"""What check finds in a lab without a network, about vCenters and hosts: each finding tripped and not, and no write."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager

import pytest

from lab_client import Lab
from lrvmotion.commands.context import wall_clock
from lrvmotion.config.schema import Config, load
from lrvmotion.findings import Finding, Severity
from lrvmotion.journal.chain import chained
from lrvmotion.journal.records import Intended
from lrvmotion.model.setting import SettingKey, Value
from lrvmotion.model.target_id import TargetId
from lrvmotion.run.credentials import Credentials
from lrvmotion.vsphere.session import Session
from lrvmotion.workflows import connections
from lrvmotion.workflows.connections import Connections
from lrvmotion.workflows.site_survey import Survey, SurveyRequest, survey

SITES = ("source", "target")
QUIET = {"path-not-measured"}  # no network is emulated: nothing to ping


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "4", name=f"cf{os.getpid()}") as up:
        yield up


@pytest.fixture(autouse=True)
def well_again(lab):
    """The rules of one test end with it."""
    yield
    for site in SITES:
        lab.control(site, "fault_clear")


def writes(lab) -> list[int]:
    return [lab.control(site, "calls")["writes"] for site in SITES]


@contextmanager
def trouble(lab, site: str, op: str, *, back: dict, **arguments):
    lab.control(site, op, **arguments)
    try:
        yield
    finally:
        lab.control(site, op, **{**arguments, **back})


def look(lab, *vms: str, records=(), config: Config | None = None) -> Survey:
    """Look as the command does, without starting one; whatever is found, nothing is written at either vCenter."""
    config = config or load(lab.config)
    before = writes(lab)
    with Connections(connections.records(config), Credentials({}, None), lambda _: None) as world:
        seen = survey(
            config, world, lambda _: None, SurveyRequest(vms=vms, probes=1), records,
            clock=wall_clock, step=lambda *_: None,
        )  # fmt: skip
    assert writes(lab) == before
    return seen


def found(lab, *vms: str, errors: bool = False, **more) -> dict[str, list[Finding]]:
    """Return the findings by code; *errors*: whether one is an error."""
    codes: dict[str, list[Finding]] = {}
    for finding in look(lab, *vms, **more).findings:
        codes.setdefault(finding.code, []).append(finding)
    assert any(f.severity is Severity.ERROR for own in codes.values() for f in own) == errors, codes
    return codes


def subjects_of(codes: dict[str, list[Finding]], code: str) -> set[str]:
    return {finding.subject for finding in codes.get(code, [])}


def test_a_good_lab_has_nothing_to_find(lab):
    """Exit 0; both vCenters see each other, what was looked at is in the document, and nothing is written."""
    before = writes(lab), lab.state()
    document = lab.json("check")
    assert (writes(lab), lab.state()) == before
    assert {finding["code"] for finding in document["findings"]} == QUIET
    assert document["schema"] == 1
    assert document["sites"]["source"]["reaches_other"] is True
    assert document["sites"]["target"]["reaches_other"] is True
    assert document["sites"]["source"]["licences"] == ["vSphere 7 Enterprise Plus"]
    assert abs(document["sites"]["target"]["clock_ahead_s"]) < 2
    hosts = {host["host"]: host for host in document["hosts"]}
    assert set(hosts) == {"source/esx-a1", "source/esx-a2", "target/esx-b1", "target/esx-b2"}
    helpers = hosts["source/esx-a1"]["options"]["Migrate.VMotionStreamHelpers"]
    assert (helpers["minimum"], helpers["maximum"], helpers["value"]) == (0, 112, 0)
    assert hosts["source/esx-a2"]["vmknics"][0]["netstack"] == "vmotion"


def test_vms_narrow_the_hosts(lab):
    """Only the hosts of the named VMs, and those that they would go to, are looked at; an unknown name is exit 2."""
    document = lab.json("check", "vm1")
    assert {host["host"] for host in document["hosts"]} == {"source/esx-a1", "target/esx-b1"}
    assert lab.run("check", "nosuch").returncode == 2


def test_text_groups_by_subject_and_ends_with_numbers(lab):
    """Off a terminal: plain lines on stderr, the findings and a closing line on stdout."""
    with trouble(lab, "target", "host_maintenance", host="esx-b1", on=True, back={"on": False}):
        done = lab.run("check")
    assert done.returncode == 3
    lines = done.stdout.splitlines()
    at = lines.index("target/esx-b1")
    assert lines[at + 1 : at + 3] == [
        "  error: is in maintenance mode  [host-maintenance]", "    hint: take it out of maintenance mode",
    ]  # fmt: skip
    assert lines[-1].startswith("1 error, ")
    assert "checking vCenters" in done.stderr


@pytest.mark.parametrize(
    ("site", "privilege", "subjects"),
    [
        ("source", "Host.Config.AdvancedConfig", {"source/esx-a1", "source/esx-a2"}),
        ("source", "Resource.HotMigrate", {"source/VM folder of DC"}),
        ("target", "Host.Config.Network", {"target/esx-b1", "target/esx-b2"}),
        ("target", "VirtualMachine.Inventory.Create", {"target/VM folder of DC"}),
        ("target", "Datastore.AllocateSpace", {"target/datastore datastore1"}),
        ("target", "Network.Assign", {"target/network VM Network"}),
        ("target", "Resource.AssignVMToPool", {"target/pool Cluster/Resources"}),
        ("source", "Resource.AssignVMToPool", set()),  # needed at the other side only
        ("target", "Resource.HotMigrate", set()),
    ],
)
def test_a_missing_privilege_is_named_with_its_entity(lab, site, privilege, subjects):
    """On the side that needs it, and only there."""
    with trouble(lab, site, "privileges_deny", privileges=[privilege], back={"privileges": []}):
        codes = found(lab, errors=bool(subjects))
    assert subjects_of(codes, "privilege-missing") == subjects
    assert all(privilege in finding.summary for finding in codes.get("privilege-missing", []))


def test_privileges_of_named_vms_are_asked_on_the_vms(lab):
    """A move needs Resource.HotMigrate on the VM itself."""
    with trouble(lab, "source", "privileges_deny", privileges=["Resource.HotMigrate"], back={"privileges": []}):
        codes = found(lab, "vm2", errors=True)
    assert subjects_of(codes, "privilege-missing") == {"vm/vm2"}


@pytest.mark.parametrize(
    ("ahead_s", "codes", "errors"),
    [(2.0, set(), False), (90.0, {"clock-skew", "clock-here"}, False), (-3600.0, {"clock-skew", "clock-here"}, True)],
)
def test_clocks(lab, ahead_s, codes, errors):
    """A second or two is nothing, a minute a warning, an hour more than single sign-on takes: an error."""
    with trouble(lab, "target", "clock", ahead_s=ahead_s, back={"ahead_s": 0.0}):
        assert set(found(lab, errors=errors)) - QUIET == codes


def test_a_licence_that_is_too_small_and_one_that_cannot_be_read(lab):
    """Standard is a warning on each host; what may not be read is told as such, and is no error."""
    with trouble(lab, "source", "licence", name="vSphere 7 Standard", back={"name": "vSphere 7 Enterprise Plus"}):
        codes = found(lab)
    assert subjects_of(codes, "licence-edition") == {"source/esx-a1", "source/esx-a2"}
    with trouble(lab, "source", "privileges_deny", privileges=["Global.Licenses"], back={"privileges": []}):
        codes = found(lab)
    (finding,) = codes["licence-unreadable"]
    assert (finding.severity, finding.subject) == (Severity.INFO, "source")


@pytest.mark.parametrize("level", ["partiallyAutomated", "manual"])
def test_drs_that_asks_is_fine(lab, level):
    """Only a DRS that moves VMs by itself is in the way."""
    with trouble(lab, "source", "cluster_drs", level=level, back={"level": None}):
        assert "cluster-drs" not in found(lab)


def test_fully_automated_drs_is_told(lab):
    """A warning on the cluster."""
    with trouble(lab, "source", "cluster_drs", level="fullyAutomated", back={"level": None}):
        codes = found(lab)
    assert [(f.subject, f.severity) for f in codes["cluster-drs"]] == [("source/Cluster", Severity.WARNING)]


def test_a_host_that_is_away_or_in_maintenance(lab):
    """Both are errors, and nothing else is asked of a host that is away."""
    with trouble(lab, "source", "host_connection", host="esx-a2", state="notResponding", back={"state": "connected"}):
        seen = look(lab)
    away = [finding for finding in seen.findings if finding.code == "host-not-connected"]
    assert [finding.subject for finding in away] == ["source/esx-a2"]
    assert {one.source.split()[0] for one in seen.path} == {"source/esx-a1"}
    with trouble(lab, "source", "host_maintenance", host="esx-a1", on=True, back={"on": False}):
        assert subjects_of(found(lab, errors=True), "host-maintenance") == {"source/esx-a1"}


def test_a_congestion_control_that_is_not_known(lab):
    """A warning for the stack that carries vMotion; the two that ESXi has are none."""
    stack, back = {"host": "esx-a2", "netstack": "vmotion"}, {"congestion_control": "newreno"}
    for known, subjects in (("cubic", set()), ("vegas", {"source/esx-a2"})):
        with trouble(lab, "source", "host_stack", **stack, congestion_control=known, back=back):
            assert subjects_of(found(lab), "host-congestion") == subjects


def test_a_vmknic_that_also_carries_something_else_and_a_host_without_one(lab):
    """What another operator selected is a warning; no vmknic for vMotion at all is an error."""
    about = json.loads((lab.directory / "source" / "vcenter.json").read_text())
    there = lab.spec.site("source")
    session = Session.open(
        "source", about["host"], about["port"], there.username, lambda: there.password, pem=None, sha256=about["sha256"]
    )
    try:
        host = session.content.searchIndex.FindByDnsName(None, "esx-a1", vmSearch=False)
        manager = host.configManager.virtualNicManager
        hosts = {item["host"]: item for item in lab.json("check")["hosts"]}
        nic = hosts["source/esx-a1"]["vmknics"][0]["device"]
        manager.SelectVnicForNicType("faultToleranceLogging", nic)
        assert subjects_of(found(lab), "vmknic-shared") == {"source/esx-a1"}
        manager.DeselectVnicForNicType("faultToleranceLogging", nic)
        manager.DeselectVnicForNicType("vmotion", nic)
        assert subjects_of(found(lab, errors=True), "host-no-vmotion") == {"source/esx-a1"}
        manager.SelectVnicForNicType("vmotion", nic)
    finally:
        session.close()
    assert not found(lab).keys() & {"vmknic-shared", "host-no-vmotion"}


@pytest.mark.parametrize(
    ("rule", "code", "errors"),
    [
        ({"fault": "vim.fault.HostConnectFault"}, "vcenter-sight", True),
        ({"fault": "vim.fault.InvalidLogin", "in_task": True}, "vcenter-sight", True),
        ({"fault": "vim.fault.SSLVerifyFault", "in_task": True}, "vcenter-sight", True),
        ({"fault": "vmodl.fault.NotSupported"}, "vcenter-sight-unknown", False),
        ({"fault": "vmodl.fault.SystemError", "in_task": True}, "vcenter-sight-unknown", False),
    ],
)
def test_the_source_vcenter_must_reach_the_target(lab, rule, code, errors):
    """A refused login, another certificate or no connection is an error; else the way was not measured."""
    lab.control("source", "fault_add", rule={"method": "CheckRelocate_Task", **rule})
    assert subjects_of(found(lab, errors=errors), code) == {"source"}


def test_the_way_back_is_a_warning(lab):
    """Moves start at the source: a target that does not reach it is told, and stops nothing."""
    rule = {"method": "CheckRelocate_Task", "fault": "vim.fault.HostConnectFault"}
    lab.control("target", "fault_add", rule=rule)
    (finding,) = found(lab)["vcenter-sight"]
    assert (finding.subject, finding.severity) == ("target", Severity.WARNING)


def test_what_a_vcenter_refuses_to_tell_is_a_finding(lab):
    """No traceback, no exit status of its own: not measured, and why."""
    for method, fault in (
        ("HasPrivilegeOnEntities", "vmodl.fault.NotSupported"), ("QueryAssignedLicenses", "vmodl.fault.NotSupported"),
        ("ExecuteSoap", "vim.fault.NoPermission"),
    ):  # fmt: skip
        lab.control("target", "fault_add", rule={"method": method, "fault": fault, "count": 50})
        lab.control("source", "fault_add", rule={"method": method, "fault": fault, "count": 50})
    codes = found(lab)
    assert subjects_of(codes, "privilege-unknown") == set(SITES)
    assert subjects_of(codes, "licence-unreadable") == set(SITES)


def test_a_setting_that_waits_for_a_reboot(lab):
    """As vCenter says, whoever set it; gone when it is restored."""
    lab.set_option("source", "esx-a1", "Net.TcpipRxDispatchQueues", 5)
    try:
        assert subjects_of(found(lab), "host-reboot") == {"source/esx-a1"}
    finally:
        lab.set_option("source", "esx-a1", "Net.TcpipRxDispatchQueues", 2)
    assert "host-reboot" not in found(lab)


@pytest.mark.parametrize(("at", "waits"), [("2000-01-01T00:00:00+00:00", False), ("2999-01-01T00:00:00+00:00", True)])
def test_our_own_changes_wait_for_a_boot_after_them(lab, at, waits):
    """The journal's outstanding changes that need a reboot, against the host's boot time."""
    body = Intended(
        target=TargetId("source/esx-a2"), key=SettingKey("option/Net.TcpipRxDispatchQueues"), reboot=True,
        prior=Value("long", 2), planned=Value("long", 5),
    )  # fmt: skip
    codes = found(lab, records=[chained(None, at=at, run="abc234", body=body)])
    assert subjects_of(codes, "host-reboot") == ({"source/esx-a2"} if waits else set())


def test_a_wrong_name_in_the_configuration_is_refused(lab):
    """Exit 2, as with plan, and the name is in the message."""
    path = lab.folder / "wrong.toml"
    path.write_text(lab.config.read_text() + '\n[mappings.networks]\n"VM Network" = "nowhere"\n')
    done = subprocess.run(
        lab.argv("--config", str(path), "check", config=False), capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, cwd=lab.folder,
    )  # fmt: skip
    assert (done.returncode, "nowhere" in done.stderr, "Traceback" in done.stderr) == (2, True, False)
