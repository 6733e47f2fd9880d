"""What check makes of what it saw: frames, options, reboots, vmknics, privileges, clocks, boxes; tripped and not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lrvmotion.checks import hosts, path, privileges, sites, steering
from lrvmotion.checks.relay_hosts import capacity
from lrvmotion.findings import Severity
from lrvmotion.model import host_option
from lrvmotion.model.inventory import Host, MoRef, Network, Vmknic
from lrvmotion.model.path_quality import Frames
from lrvmotion.model.relay.relay_host import Address, BoxFacts
from lrvmotion.model.target_id import TargetId
from lrvmotion.model.vcenter import Clock, Sight
from lrvmotion.plan import settings
from lrvmotion.plan.modes import MODES
from lrvmotion.ports.pinger import MessageTooLong, PingRefused, Pings
from lrvmotion.run import path_survey
from lrvmotion.views import checks as view

OPTIONS, NETWORK = "Host.Config.AdvancedConfig", "Host.Config.Network"


def nic(device="vmk1", address="10.88.0.9", **more) -> Vmknic:
    usual = {"prefix_length": 24, "mtu": 1500, "mac": "00:50:56:60:00:01", "portgroup": "vMotion"}
    return Vmknic(device=device, address=address, **{**usual, "services": frozenset({"vmotion"}), **more})


def host(name="esx-a1", *nics: Vmknic, **more) -> Host:
    usual = {
        "connection_state": "connected", "in_maintenance": False, "version": "7.0.3", "build": "1", "cluster": "C",
        "boot_time": "2026-01-02T00:00:00+00:00",
    }  # fmt: skip
    ref = MoRef("HostSystem", f"host-{name}")
    return Host(ref=ref, name=name, pool=MoRef("ResourcePool", "p"), vmknics=nics or (nic(),), **{**usual, **more})


def frames(**more) -> Frames:
    usual = {"source_mtu": 1500, "target_mtu": 1500, "plain": "passed", "full": "passed", "jumbo": "too-long"}
    return Frames(source="source/a 10.88.0.9", target="target/b 10.99.0.9", **{**usual, **more})


JUMBO = {"source_mtu": 9000, "target_mtu": 9000, "jumbo": "passed"}


@pytest.mark.parametrize(
    ("seen", "codes"),
    [
        (frames(), {}),
        (frames(full="lost", jumbo="lost"), {"path-mtu": Severity.ERROR}),
        (frames(full="too-long"), {"path-mtu": Severity.WARNING}),
        (frames(full="lost", plain="lost", jumbo=None), {"path-unreachable": Severity.ERROR}),
        (frames(**JUMBO), {}),
        (frames(**{**JUMBO, "jumbo": "lost"}), {"path-jumbo": Severity.ERROR}),
        (frames(**{**JUMBO, "jumbo": "too-long"}), {"path-jumbo": Severity.WARNING}),
        (frames(**{**JUMBO, "target_mtu": 1500, "jumbo": "lost"}), {"mtu-mismatch": Severity.WARNING}),
        (
            frames(**{**JUMBO, "target_mtu": 1500}),
            {"mtu-mismatch": Severity.WARNING, "path-jumbo-unused": Severity.INFO},
        ),
        (frames(jumbo="passed"), {"path-jumbo-unused": Severity.INFO}),
        (frames(plain=None, full=None, jumbo=None, reason="no"), {"path-not-measured": Severity.WARNING}),
    ],
)
def test_frames(seen, codes):
    """A path that drops full frames is an error; one that says so, or carries more than is used, is told."""
    assert {finding.code: finding.severity for finding in path.frames(seen)} == codes


class Stretch:
    """A path: packets up to *mtu* pass, larger ones are *silent*ly dropped or refused; every *lossy*th call is lost."""

    def __init__(self, mtu: int, *, silent: bool = False, lossy: int = 0, refuses: bool = False) -> None:
        self.mtu, self.silent, self.lossy, self.refuses = mtu, silent, lossy, refuses
        self.calls = 0

    def ping(self, target, request) -> Pings:
        count, size, df = request.count, request.size, request.df
        self.calls += 1
        if self.refuses:
            msg = f"{target}: not allowed"
            raise PingRefused(msg)
        if df and size + 28 > self.mtu:
            if self.silent:
                return Pings(sent=count, received=0)
            msg = "too long"
            raise MessageTooLong(msg)
        if self.lossy and self.calls % self.lossy == 1:
            return Pings(sent=count, received=0)
        return Pings(sent=count, received=count, rtt_min_ms=50.0, rtt_avg_ms=51.0, rtts_ms=(50.0, 52.0))


def look(stretch: Stretch, sources, targets, probes=10):
    steps: list[tuple[str, int, int]] = []
    seen = path_survey.measure(
        sources, targets, stretch, lambda _: None, probes=probes, step=lambda *step: steps.append(step)
    )
    return (*seen, steps)


@pytest.mark.parametrize(
    ("stretch", "outcome"),
    [
        (Stretch(1500), ("passed", "passed", "too-long")),
        (Stretch(9000), ("passed", "passed", "passed")),
        (Stretch(1400, silent=True), ("passed", "lost", "lost")),
        (Stretch(1400), ("passed", "too-long", "too-long")),
        (Stretch(0, silent=True, lossy=1), ("passed", "lost", "lost")),
        (Stretch(1500, lossy=2), ("passed", "passed", "too-long")),  # a lost call is asked again
    ],
)
def test_frames_are_told_from_loss(stretch, outcome):
    """What was lost is asked again before it counts, and a small ping tells an MTU from a dead path."""
    (seen,), _, _ = look(stretch, [host()], [host("esx-b1", nic(address="10.99.0.9"))])
    assert (seen.plain, seen.full, seen.jumbo) == outcome


def test_every_vmknic_is_tried_and_one_pair_a_host_is_measured():
    """Two vmknics to one address of each of two targets; the steps add up; a host that is away is left out."""
    two = host("esx-a1", nic(), nic("vmk2", "10.88.0.10"))
    away = host("esx-a2", connection_state="notResponding")
    targets = [host(f"esx-b{n}", nic(address=f"10.99.0.{n}"), nic("vmk2", f"10.99.0.{n}0")) for n in (1, 2)]
    seen, pairs, steps = look(Stretch(1500), [two, away], targets)
    assert [(one.source, one.target) for one in seen] == [
        (f"source/esx-a1 {source}", f"target/esx-b{n} 10.99.0.{n}")
        for source in ("10.88.0.9", "10.88.0.10") for n in (1, 2)
    ]  # fmt: skip
    assert [(one.source, one.target, one.sent) for one in pairs] == [
        ("source/esx-a1 10.88.0.9", "target/esx-b1 10.99.0.1", 10)
    ]
    assert steps[-1] == ("pings", 10, 10)
    assert ("frames", 4, 4) in steps


def test_a_host_that_runs_no_ping_is_not_measured():
    """The reason is kept, and nothing is made up."""
    (seen,), (quality,), _ = look(Stretch(1500, refuses=True), [host()], [host("esx-b1")])
    assert (seen.reason, seen.full, quality.reason, quality.loss) == ("not allowed", None, "not allowed", None)


def bounds(minimum: int, maximum: int) -> host_option.Bounds:
    return host_option.Bounds(type="long", minimum=minimum, maximum=maximum, default=0)


def test_options_that_a_build_does_not_take():
    """Before 7.0U2 there are 32 stream helpers at most; a missing option is named once."""
    wanted = [host_option.Desired(key=settings.HELPERS, value=48, reason="r")] * 2
    (told,) = hosts.options("source", host(), wanted, {settings.HELPERS: bounds(0, 32)})
    assert (told.code, "0..32" in told.summary, "48" in told.summary) == ("option-bounds", True, True)
    (told,) = hosts.options("source", host(), wanted, {})
    assert told.code == "option-missing"
    assert list(hosts.options("source", host(), wanted, {settings.HELPERS: bounds(0, 112)})) == []


@pytest.mark.parametrize(
    ("more", "changed", "waits"),
    [
        ({}, [], False),
        ({}, [("Net.X", "2026-01-01T00:00:00+00:00")], False),
        ({}, [("Net.X", "2026-01-03T00:00:00.000+00:00")], True),
        ({"boot_time": None}, [("Net.X", "2026-01-01T00:00:00+00:00")], True),
        ({"reboot_required": True}, [], True),
    ],
)
def test_a_reboot_that_is_waited_for(more, changed, waits):
    """Ours against the boot time, anybody's as vCenter says."""
    assert [finding.code for finding in hosts.reboot("source", host(**more), changed)] == ["host-reboot"] * waits


def test_what_was_put_back_and_is_not_in_force_yet():
    """The host works with our value until it is rebooted, and the hint says how."""
    (told,) = hosts.reboot("source", host(), [], [("Net.X", "2026-01-03T00:00:00.000+00:00")])
    assert told.code == "host-reboot"
    assert "Net.X was restored at 2026-01-03 00:00:00 UTC" in told.summary
    assert "--reboot-hosts" in str(told.hint)


def test_vmknics_of_other_services_and_of_two_stacks():
    """A vMotion vmknic of its own on one stack is as it should be; on two, that of the vMotion stack alone counts."""
    assert list(hosts.vmknics("source", host())) == []
    shared = host("a", nic(services=frozenset({"vmotion", "management"})))
    (told,) = hosts.vmknics("source", shared)
    assert (told.code, "management" in told.summary) == ("vmknic-shared", True)
    mixed = host("a", nic(), nic("vmk2", "10.88.0.10", netstack="vmotion", services=frozenset()))
    (told,) = hosts.stacks("source", mixed)
    assert (told.code, "vmk1" in told.summary) == ("vmknic-stacks", True)
    assert [one.device for one in mixed.vmotion_vmknics] == ["vmk2"]
    assert list(hosts.stacks("source", host())) == []


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        (nic("vmk0", "10.88.0.77", services=frozenset({"management"})), "vmk0 carries management"),
        (nic("vmk3", "10.88.0.77", services=frozenset()), "vmk3 is, for storage perhaps"),
        (nic("vmk2", "10.88.0.77"), None),
        (nic("vmk0", "10.89.0.77", services=frozenset({"management"})), None),
        (nic("vmk4", "10.88.0.77", netstack="vSphereProvisioning", services=frozenset()), None),
    ],
)
def test_no_vmknic_is_added_to_a_subnet_that_another_service_uses(beside, said):
    """Management, vSAN, and what has no service by which it could be told; another stack or subnet is no matter."""
    there = host("a", nic("vmk1", "10.88.0.9"), beside)
    found = list(hosts.shared_subnet(TargetId.host("source", "a"), there, there.vmknics[0], ()))
    assert [one.code for one in found] == (["vmknic-subnet"] if said else [])
    assert all(said in one.summary for one in found)
    assert not list(hosts.shared_subnet(TargetId.host("source", "a"), there, there.vmknics[0], {"10.88.0.77"}))


@pytest.mark.parametrize(
    ("site", "modes", "wanted"),
    [
        ("source", {"stock"}, set()),
        ("source", {"proxy"}, {OPTIONS, NETWORK}),
        ("target", {"proxy"}, {OPTIONS}),
        ("target", {"native", "proxy"}, {OPTIONS, NETWORK, privileges.ASSIGN}),
    ],
)
def test_privileges_on_hosts_follow_the_mode(site, modes, wanted):
    """Stock mode changes nothing, proxy mode leaves the target's vmknics; a distributed switch needs its port group."""
    group = Network(
        ref=MoRef("DistributedVirtualPortgroup", "dvportgroup-1"), name="dv", kind="distributed", switch_uuid="u",
        portgroup_key="k",
    )  # fmt: skip
    there = host("a", nic(switch_uuid="u", portgroup_key="k"))
    kinds = {kind for mode in modes for kind in MODES[mode].kinds(site)}
    asked = privileges.on_hosts(site, kinds, [there], [group])
    assert {one for own in asked.values() for one in own} == wanted


def test_clocks_allow_for_what_the_call_took():
    """A skew within the call's own duration is none."""
    slow = Clock(ahead_s=20.0, within_s=18.0)
    right = Clock(ahead_s=0.0, within_s=0.1)
    assert list(sites.clocks(slow, right)) == []
    assert {f.code for f in sites.clocks(replace(slow, within_s=1.0), right)} == {"clock-skew", "clock-here"}


def test_one_vcenter_is_not_two():
    """Its instance UUID tells."""
    assert list(sites.same_vcenter("a", "b")) == []
    assert [finding.code for finding in sites.same_vcenter("a", "a")] == ["vcenter-same"]


def test_the_other_way_is_only_a_warning():
    """Moves start at the source vCenter."""
    (there,) = sites.sight("source", Sight(seen=False, detail="x"))
    (back,) = sites.sight("target", Sight(seen=False, detail="x"))
    assert (there.severity, back.severity) == (Severity.ERROR, Severity.WARNING)
    assert list(sites.sight("source", Sight(seen=True))) == []


def test_what_bounds_a_box():
    """One core, a slow clock, a slow link; and a box that has none of these."""
    address = Address(interface="lan0", address="10.88.0.1", length=24)
    good = BoxFacts(
        cores=4, governors=(("cpu0", "performance"),), addresses=(address,), links=(("lan0", 1500, 25_000),)
    )
    assert list(capacity("r", good, "10.88.0.1")) == []
    poor = replace(good, cores=1, governors=(("cpu0", "powersave"),), links=(("lan0", 1500, 1000),))
    assert [f.code for f in capacity("r", poor, "10.88.0.1")] == ["relay-cores", "relay-governor", "relay-link"]
    assert [f.code for f in capacity("r", good, "10.88.0.1", 9000)] == ["relay-mtu"]
    assert list(capacity("r", BoxFacts(), "10.88.0.1")) == []  # what is not known is not held against it


def test_same_subnet_is_found_by_its_network():
    """No relay can be put between neighbours."""
    (told,) = steering.off_subnet(host(), [host("esx-b1", nic(address="10.88.0.30"))])
    assert (told.code, "10.88.0.0/24" in told.summary) == ("same-subnet", True)
    assert list(steering.off_subnet(host(), [host("esx-b1", nic(address="10.99.0.30"))])) == []


def test_the_closing_line_counts():
    """By severity, whatever the subjects."""
    told = list(sites.same_vcenter("a", "a"))
    assert view.closing(told) == "1 error, 0 warnings, 0 notes"
    assert view.closing([]).startswith("0 errors, 0 warnings, 0 notes")
