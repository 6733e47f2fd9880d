"""The plan: what each mode wants, found without touching anything."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fakes import host, inventory, planned, vm
from lrvmotion.config import schema as configs
from lrvmotion.config.vm_csv import VmOverride
from lrvmotion.errors import UsageError
from lrvmotion.model import host_option
from lrvmotion.model.inventory import Disk, Folder, Host, HostPortGroup, MoRef
from lrvmotion.model.setting import ABSENT, SettingKey, Value, string
from lrvmotion.plan import settings
from lrvmotion.plan.layout import Inputs, lay_out
from lrvmotion.plan.modes import MODES
from lrvmotion.plan.placer import Placer
from lrvmotion.plan.plan import Theirs

BOUNDS = {
    settings.HELPERS: host_option.Bounds(type="long", minimum=0, maximum=112, default=0),
    settings.LINE_RATE: host_option.Bounds(type="long", minimum=1, maximum=2000, default=133),
    settings.BIND: host_option.Bounds(type="long", minimum=0, maximum=3, default=3),
    settings.QUEUES: host_option.Bounds(type="long", minimum=1, maximum=8, default=2, reboot=True),
}
CONFIG = {
    "source": {"vcenter": "a", "username": "u", "vmotion": {"addresses": ["10.88.0.20-10.88.0.59"]}},
    "target": {"vcenter": "b", "username": "u", "vmotion": {"addresses": ["10.99.0.20-10.99.0.59"]}},
    "relay": {"source": [{"name": "r1", "host": "h", "address": "10.88.0.1"}]},
}


def make(
    mode,
    *,
    vms=("vm1",),
    config=None,
    source=None,
    target=None,
    values=None,
    bounds=None,
    reboot=False,
    unusable=None,
    held=(),
    theirs=(),
):
    values = values or {}
    machines = tuple(vm(name, "a1") for name in vms)
    inputs = Inputs(
        config=configs.parse(config or CONFIG),
        source=source or inventory("source", (host("a1", "10.88.0.9"),), machines),
        target=target or inventory("target", (host("b1", "10.99.0.9"),)),
        reboot=reboot,
        held=held,
        theirs=theirs,
    )
    chosen = source.vms if source else machines
    return planned(
        lay_out(inputs, mode, chosen), "abc234",
        read=lambda name, key: values.get(
            (name, key), Value("long", BOUNDS[key[7:]].default) if key.startswith("option/") else ABSENT
        ),
        bounds=lambda name: bounds or BOUNDS,
        wanted=lambda role: [("unit/lrvmotion", string(",".join([*role.senders, *role.targets])), "relay")],
        unusable=lambda relay: (unusable or {}).get(relay.name),
    )  # fmt: skip


def keys(plan, target):
    return [change.key for change in plan.changes if change.target == target]


def test_stock_changes_nothing():
    """It is the baseline."""
    plan = make("stock")
    assert plan.changes == ()
    assert plan.applyable
    assert [m.vm for m in plan.migrations] == ["vm1"]


def test_native_makes_the_field_reports_vmknics_and_options():
    """Five at the source, two at the target, 48 helpers; port group, vmknic, service in that order."""
    plan = make("native")
    assert plan.applyable, plan.findings
    source = keys(plan, "source/a1")
    assert source[:3] == ["portgroup/lrvmotion-abc234-1", "vmknic/10.88.0.20", "vmotion-service/10.88.0.20"]
    assert sum(key.startswith("vmknic/") for key in source) == 4
    assert sum(key.startswith("vmknic/") for key in keys(plan, "target/b1")) == 1
    assert source[-2:] == ["option/Migrate.VMotionStreamHelpers", "option/Migrate.NetExpectedLineRateMBps"]
    assert (plan.streams, plan.vmknics) == (48, 5)
    assert len(plan.proof_paths) == 5 * 2
    groups = [c.planned.as_document() for c in plan.changes if c.key.startswith("portgroup/lrvmotion-abc234-1")]
    assert groups[0] == {"vswitch": "vSwitch0", "vlan_id": 12, "active": ["vmnic0"], "standby": []}


def test_proxy_puts_the_relay_before_the_routes():
    """The relay listens before any route points at it; five helpers, no new vmknic."""
    plan = make("proxy")
    assert plan.applyable, plan.findings
    assert plan.changes[0].target == "relay/r1"
    assert plan.changes[-1].key == "route/defaultTcpipStack/10.99.0.9/32"
    assert plan.changes[-1].planned == string("10.88.0.1")
    assert not any("vmknic/" in change.key for change in plan.changes)
    assert plan.relays == ("r1",)
    assert plan.streams == 5


def test_gateway_steering_is_the_field_reports_way():
    """steer = "gateway": the vmknic's override, no route."""
    plan = make("proxy", config={**CONFIG, "steer": "gateway"})
    assert plan.changes[-1].key == "gateway/10.88.0.9"


def test_a_setting_that_needs_a_reboot_is_skipped_and_said():
    """Net.TcpipRxDispatchQueues takes effect after a reboot: never set by the way."""
    plan = make("native")
    assert {item.key for item in plan.skipped} == {"option/Net.TcpipRxDispatchQueues"}
    changed = make("native", reboot=True)
    assert [c.reboot for c in changed.changes if c.key.endswith("RxDispatchQueues")] == [True, True]


def test_what_is_as_wanted_is_not_changed():
    """Noop is a result, also for a value that is better than wanted."""
    values = {
        (target, f"option/{key}"): Value("long", value)
        for target in ("source/a1", "target/b1")
        for key, value in ((settings.HELPERS, 5), (settings.LINE_RATE, 2000), (settings.BIND, 3))
    }
    assert keys(make("proxy", values=values), "source/a1") == ["route/defaultTcpipStack/10.99.0.9/32"]


def test_48_helpers_before_70u2_are_a_finding_and_are_clamped():
    """The host's own bound decides, before anything is written."""
    bounds = {**BOUNDS, settings.HELPERS: host_option.Bounds(type="long", minimum=0, maximum=32, default=0)}
    plan = make("native", bounds=bounds)
    assert "option-bounds" in {finding.code for finding in plan.findings}
    assert plan.streams == 32
    assert plan.applyable


def on(portgroup: str) -> Host:
    """Return a1 with its vMotion vmknic on *portgroup*, "" as on an opaque network."""
    there = host("a1", "10.88.0.9")
    return replace(there, vmknics=(there.vmknics[0], replace(there.vmknics[1], portgroup=portgroup)))


@pytest.mark.parametrize(("portgroup", "text"), [("", "an opaque network (NSX)"), ("Hidden", "port group 'Hidden'")])
def test_a_vmknic_that_has_no_port_group_is_a_finding_of_native_mode_alone(portgroup, text):
    """Proxy mode, which adds none, stays possible (E5)."""
    there = inventory("source", (on(portgroup),), (vm("vm1", "a1"),))
    (found,) = [one for one in make("native", source=there).findings if one.code == "vmknic-port-group"]
    assert text in found.summary
    plan = make("proxy", source=there)
    assert plan.applyable, plan.findings
    assert {one.code for one in plan.findings}.isdisjoint({"vmknic-port-group"})


def test_a_vmknic_beside_it_that_has_a_port_group_is_cloned():
    """One of the present ones is enough (E5)."""
    there = on("")
    other = replace(there.vmknics[1], device="vmk2", address="10.88.0.10", portgroup="vMotion")
    plan = make(
        "native", source=inventory("source", (replace(there, vmknics=(*there.vmknics, other)),), (vm("vm1", "a1"),))
    )
    assert plan.applyable, plan.findings
    assert sum(key.startswith("vmknic/") for key in keys(plan, "source/a1")) == 3


def test_a_pool_that_is_too_small_is_refused_by_name():
    """With how many are free."""
    config = {**CONFIG, "source": {**CONFIG["source"], "vmotion": {"addresses": ["10.88.0.20-10.88.0.21"]}}}
    plan = make("native", config=config)
    assert [f.summary for f in plan.findings if f.code == "pool-too-small"] == [
        "source/a1: 4 new vMotion addresses in 10.88.0.0/24 are needed, the pool has 2 free"
    ]
    assert not plan.applyable


def test_native_mode_adds_no_vmknic_beside_management():
    """The plan says so, and changes no host; in proxy mode nothing stands in the way."""
    there = host("a1", "10.88.0.9")
    beside = replace(there, vmknics=(replace(there.vmknics[0], address="10.88.0.77"), there.vmknics[1]))
    source = inventory("source", (beside,), (vm("vm1", "a1"),))
    plan = make("native", source=source)
    assert [one.code for one in plan.findings if one.severity == "error"] == ["vmknic-subnet"]
    assert [name for name, _ in plan.new_vmknics if name == "source/a1"] == []
    assert "vmknic-subnet" not in {one.code for one in make("proxy", source=source).findings}


def test_no_new_vmknic_gets_an_address_of_the_other_site_or_of_a_gateway():
    """Where both sites are on one subnet a pool may name what the other has."""
    gateway = replace(host("a1", "10.88.0.9").vmknics[1], gateway="10.88.0.21")
    source = inventory("source", (host("a1", "10.88.0.9", vmknics=(gateway,)),), (vm("vm1", "a1"),))
    target = inventory("target", (host("b1", "10.88.0.20"),))
    config = {**CONFIG, "source": {**CONFIG["source"], "vmotion": {"addresses": ["10.88.0.20-10.88.0.25"]}}}
    plan = make("native", config=config, source=source, target=target)
    assert [at for host_name, at in plan.new_vmknics if host_name == "source/a1"] == [
        f"10.88.0.{last}" for last in range(22, 26)
    ]


def test_another_runs_port_group_locks_the_host():
    """Refused by name where that run is not in this journal."""
    groups = (
        HostPortGroup(name="vMotion", vswitch="vSwitch0", vlan_id=0),
        HostPortGroup(name="lrvmotion-zzz999-1", vswitch="vSwitch0", vlan_id=0),
    )
    source = inventory("source", (host("a1", "10.88.0.9", portgroups=groups),), (vm("vm1", "a1"),))
    plan = make("native", source=source)
    assert [f.code for f in plan.findings if f.severity == "error"] == ["host-locked"]


ROUTE = SettingKey("route/defaultTcpipStack/10.99.0.9/32")


@pytest.mark.parametrize("mode", ["native", "proxy", "stock"])
@pytest.mark.parametrize(
    ("route", "gateway", "held", "locked"),
    [
        ("10.99.0.9/32", "10.88.0.1", (), True),
        ("10.99.0.9/32", "10.88.0.1", {("source/a1", ROUTE)}, False),
        ("10.99.0.9/32", "10.88.0.1", {("source/a2", ROUTE)}, True),
        ("10.99.0.9/32", "10.88.0.254", (), False),
        ("10.99.0.0/24", "10.88.0.1", (), False),
    ],
)
def test_another_runs_route_to_a_relay_locks_the_host(mode, route, gateway, held, locked):
    """What it changed would be taken for what was there before; our own route, and a network's, are none of it."""
    found = host("a1", "10.88.0.9", routes={f"defaultTcpipStack/{route}": gateway})
    source = inventory("source", (found,), (vm("vm1", "a1"),))
    plan = make(mode, source=source, held=held)
    assert [f.code for f in plan.findings if f.severity == "error"] == (["host-locked"] if locked else [])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"power_state": "poweredOff"}, "vm-powered-off"),
        ({"power_state": "suspended"}, "vm-suspended"),
        ({"snapshots": 2}, "vm-snapshots"),
        ({"template": True}, "vm-template"),
        ({"storage_bytes": 2**43}, "datastore-space"),
    ],
)
def test_what_a_vm_should_be_known_for_is_a_finding(changes, code):
    """Each of them, and only it."""
    source = inventory("source", (host("a1", "10.88.0.9"),), (vm("vm1", "a1", **changes),))
    assert [finding.code for finding in make("stock", source=source).findings] == [code]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"networks": ()}, "network-missing"),
        ({"datastores": ()}, "datastore-missing"),
    ],
)
def test_what_is_missing_at_the_target_is_found_before_anything_changes(changes, code):
    """Name, network, datastore."""
    target = inventory("target", (host("b1", "10.99.0.9"),), **changes)
    plan = make("stock", target=target)
    assert [finding.code for finding in plan.findings] == [code]
    assert not plan.applyable


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"connection_state": "notResponding"}, "host-not-connected"),
        ({"in_maintenance": True}, "host-maintenance"),
        ({"vmknics": ()}, "host-no-vmotion"),
    ],
)
def test_a_host_that_is_not_fit_is_never_written(changes, code):
    """Fail closed."""
    source = inventory("source", (host("a1", "10.88.0.9", **changes),), (vm("vm1", "a1"),))
    plan = make("native", source=source)
    assert code in {finding.code for finding in plan.findings}
    assert not plan.applyable


def test_one_subnet_on_both_sides_cannot_be_relayed():
    """No gateway is consulted there."""
    plan = make("proxy", target=inventory("target", (host("b1", "10.88.0.77"),)))
    assert "same-subnet" in {finding.code for finding in plan.findings if finding.severity == "error"}


def test_bytes_go_by_vmotion_or_by_nfc():
    """Cold is a VM that is off, and what lies below the topmost disks of one that is on, with snapshots or without."""
    disk = Disk(
        key=2000, label="Hard disk 1", capacity_bytes=2**31, datastore=MoRef("Datastore", "datastore-1"),
        used_bytes=2**31, below_bytes=2**30,
    )  # fmt: skip
    machines = (
        vm("on", "a1"),
        vm("off", "a1", power_state="poweredOff"),
        vm("snapped", "a1", snapshots=1, disks=(disk,)),
        vm("linked", "a1", disks=(disk,)),
    )
    plan = make("stock", source=inventory("source", (host("a1", "10.88.0.9"),), machines))
    assert {move.vm: (move.hot_bytes, move.cold_bytes) for move in plan.migrations} == {
        "on": (2**31 + 2**30, 0),
        "off": (0, 2**31),
        "snapped": (2**31, 2**30),
        "linked": (2**31, 2**30),
    }


def test_vms_are_spread_over_the_targets_hosts():
    """Each VM to the host with the least placed on it so far."""
    target = inventory("target", (host("b1", "10.99.0.9"), host("b2", "10.99.0.10")))
    plan = make("stock", vms=("vm1", "vm2", "vm3", "vm4"), target=target)
    assert [m.placement.host.name for m in plan.migrations] == ["b1", "b2", "b1", "b2"]


def test_only_hosts_between_which_vms_move_are_probed_and_routed():
    """Sixteen hosts a side are not 256 routes."""
    target = inventory("target", (host("b1", "10.99.0.9"), host("b2", "10.99.0.10")))
    source = inventory(
        "source", (host("a1", "10.88.0.9"), host("a2", "10.88.0.10")), (vm("vm1", "a1"), vm("vm2", "a2"))
    )
    plan = make("proxy", source=source, target=target)
    assert [(path.source_host, path.target_host) for path in plan.paths] == [("a1", "b1"), ("a2", "b2")]
    routes = [(change.target, change.key) for change in plan.changes if change.key.startswith("route/")]
    assert routes == [
        ("source/a1", "route/defaultTcpipStack/10.99.0.9/32"),
        ("source/a2", "route/defaultTcpipStack/10.99.0.10/32"),
    ]


TWO = {
    **CONFIG,
    "relay": {
        "source": [
            {"name": "r1", "host": "h", "address": "10.88.0.1"},
            {"name": "r2", "host": "h2", "address": "10.88.0.2"},
        ]
    },
}


def two_hosts():
    return inventory("source", (host("a1", "10.88.0.9"), host("a2", "10.88.0.10")), (vm("vm1", "a1"), vm("vm2", "a2")))


def routes(plan):
    return {change.target: change.planned.data for change in plan.changes if change.key.startswith("route/")}


def test_source_hosts_are_spread_over_the_relays():
    """Each host's route leads to its own relay."""
    plan = make("proxy", config=TWO, source=two_hosts())
    assert routes(plan) == {"source/a1": "10.88.0.1", "source/a2": "10.88.0.2"}
    assert plan.relays == ("r1", "r2")


def test_a_relay_that_is_down_moves_its_hosts_to_another_and_says_so():
    """A warning as long as one is left; the last one's trouble is an error of its own."""
    plan = make("proxy", config=TWO, source=two_hosts(), unusable={"r1": "does not answer"})
    assert routes(plan) == {"source/a1": "10.88.0.2", "source/a2": "10.88.0.2"}
    (left_out,) = [finding for finding in plan.findings if finding.code == "relay-left-out"]
    assert (left_out.subject, left_out.severity) == ("relay/r1", "warning")
    assert left_out.summary == "does not answer; its hosts go through r2"


def test_a_path_through_a_relay_that_is_left_out_is_not_measured():
    """A route from the run before leads into a dead box: the host gets another one, and the proof comes after that."""
    values = {("source/a2", "route/defaultTcpipStack/10.99.0.9/32"): string("10.88.0.2")}
    plan = make("proxy", config=TWO, source=two_hosts(), values=values, unusable={"r2": "does not answer"})
    assert routes(plan) == {"source/a1": "10.88.0.1", "source/a2": "10.88.0.1"}
    assert {path.source_host for path in plan.paths} == {"a1"}
    assert {path.source_host for path in plan.proof_paths} == {"a1", "a2"}
    (told,) = [finding for finding in plan.findings if finding.code == "path-astray"]
    assert (told.subject, told.severity) == ("source/a2", "warning")
    assert "through r2" in told.summary


def test_a_host_takes_the_relay_in_its_own_subnet():
    """A gateway is always a neighbour."""
    source = inventory(
        "source", (host("a1", "10.88.5.9"), host("a2", "10.88.0.10")), (vm("vm1", "a1"), vm("vm2", "a2"))
    )
    config = {
        **TWO,
        "relay": {"source": [TWO["relay"]["source"][0], {"name": "r2", "host": "h2", "address": "10.88.5.1"}]},
    }
    assert routes(make("proxy", config=config, source=source)) == {"source/a1": "10.88.5.1", "source/a2": "10.88.0.1"}


def test_the_far_relay_comes_before_the_near_one():
    """What is sent to must listen first; revert goes the other way."""
    far = {"name": "far", "host": "f", "address": "10.99.0.1", "forward": True}
    plan = make("proxy", config={**CONFIG, "relay": {**CONFIG["relay"], "target": far}})
    assert [change.target for change in plan.changes if change.target.startswith("relay/")] == ["relay/far", "relay/r1"]
    assert plan.changes[0].planned == string("10.88.0.1,10.99.0.9")
    assert (plan.relays, plan.far) == (("r1",), "far")


def codes(plan):
    return [(finding.code, finding.severity) for finding in plan.findings if finding.code.startswith(("far", "relay"))]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.99.0.1", []),
        ("10.88.0.3", [("far-subnet", "error")]),
        ("10.97.0.1", [("far-off-lan", "warning")]),
        ("fd99::1", [("far-family", "error"), ("far-off-lan", "warning")]),
    ],
)
def test_a_far_relay_stands_at_the_target_site(address, expected):
    """On the source's LAN, or of another address family, it is refused; off the target's LAN it is said."""
    far = {"name": "far", "host": "f", "address": address, "forward": True}
    plan = make("proxy", config={**CONFIG, "relay": {**CONFIG["relay"], "target": far}})
    assert codes(plan) == expected


def test_a_box_at_the_target_that_does_not_forward_is_not_touched():
    """It is only known."""
    far = {"name": "far", "host": "f", "address": "10.99.0.1"}
    plan = make("proxy", config={**CONFIG, "relay": {**CONFIG["relay"], "target": far}})
    assert "relay/far" not in {change.target for change in plan.changes}
    assert plan.far is None


def relayed(relays, hosts, unusable=None, order=1):
    names = [f"vm{number}" for number, _ in enumerate(hosts)][::order]
    machines = {name: vm(name, of) for name, of in zip(sorted(names), hosts, strict=True)}
    entries = [{"name": name, "host": name, "address": address} for name, address in relays.items()]
    made = []
    for name, addresses in hosts.items():
        nics = [nic for address in addresses for nic in host(name, address).vmotion_vmknics]
        made.append(host(name, addresses[0], vmknics=tuple(nics)))
    source = inventory("source", tuple(made), tuple(machines[name] for name in names))
    config = {**CONFIG, "relay": {"source": entries}}
    return make("proxy", vms=names, config=config, source=source, unusable=unusable)


def test_the_same_hosts_get_the_same_relays_in_any_order_of_vms():
    """Who runs it twice gets the same plan."""
    hosts = {f"a{number}": [f"10.88.0.{number + 20}"] for number in range(5)}
    relays = {"r1": "10.88.0.1", "r2": "10.88.0.2"}
    one = routes(relayed(relays, hosts))
    assert one == routes(relayed(relays, hosts, order=-1))
    assert sorted(one.values()) == ["10.88.0.1"] * 3 + ["10.88.0.2"] * 2


def test_a_host_that_has_only_one_relay_beside_it_is_placed_first():
    """The others are balanced around it."""
    hosts = {"a1": ["10.88.0.21", "10.88.5.21"], "a2": ["10.88.0.22"]}
    assert routes(relayed({"r1": "10.88.0.1", "r2": "10.88.5.1"}, hosts)) == {
        "source/a1": "10.88.5.1",
        "source/a2": "10.88.0.1",
    }


def test_a_relay_that_is_down_is_kept_for_the_host_that_has_no_other():
    """What blocks it is then an error of its own, not a route to a box that is no neighbour."""
    hosts = {"a1": ["10.88.0.21"], "a2": ["10.88.5.22"]}
    plan = relayed({"r1": "10.88.0.1", "r2": "10.88.5.1"}, hosts, unusable={"r1": "does not answer"})
    assert routes(plan) == {"source/a1": "10.88.0.1", "source/a2": "10.88.5.1"}
    assert codes(plan) == []


def test_a_relay_that_no_host_needs_is_not_asked():
    """A box in another subnet may be switched off."""
    plan = relayed({"r1": "10.88.0.1", "r2": "10.88.7.1"}, {"a1": ["10.88.0.21"]}, unusable={"r2": "does not answer"})
    assert plan.relays == ("r1",)
    assert codes(plan) == []


def test_a_relay_that_is_left_out_names_those_that_take_its_hosts():
    """Only they, not every other one."""
    hosts = {"a1": ["10.88.0.21"], "a2": ["10.88.5.22"]}
    relays = {"r1": "10.88.0.1", "r2": "10.88.0.2", "r3": "10.88.5.1"}
    plan = relayed(relays, hosts, unusable={"r1": "does not answer"})
    (left_out,) = [finding for finding in plan.findings if finding.code == "relay-left-out"]
    assert left_out.summary == "does not answer; its hosts go through r2"


def test_what_somebody_else_changed_is_named_and_not_planned():
    """Their value stays; the rest of the plan goes on."""
    helpers = f"option/{settings.HELPERS}"
    theirs = Theirs(
        target="source/a1", key=helpers, prior=Value("long", 0), ours=Value("long", 48), now=Value("long", 7), run="r1"
    )
    plan = make("native", values={("source/a1", helpers): Value("long", 7)}, theirs=(theirs,))
    assert helpers not in keys(plan, "source/a1")
    assert helpers in keys(plan, "target/b1")
    assert plan.applyable
    assert plan.streams == 7
    (found,) = [finding for finding in plan.findings if finding.code == "setting-theirs"]
    assert found.subject == "source/a1"
    assert all(word in found.summary for word in (helpers.removeprefix("option/"), "is 7", "set 48"))
    assert plan.theirs == (theirs,)


def test_a_route_that_somebody_else_took_refuses_proxy_mode_and_no_other():
    """What proxy mode stands on is not overwritten, so that nothing would go through the relay."""
    key = "route/defaultTcpipStack/10.99.0.9/32"
    theirs = Theirs(
        target="source/a1", key=key, prior=ABSENT, ours=string("10.88.0.1"), now=string("10.88.0.99"), run="r1"
    )
    values = {("source/a1", key): string("10.88.0.99")}
    assert not make("proxy", values=values, theirs=(theirs,)).applyable
    assert make("native", values=values, theirs=(theirs,)).applyable


def placed(hosts, *machines):
    target = inventory("target", hosts)
    placer = Placer(configs.parse(CONFIG), inventory("source", (host("a1", "10.88.0.9"),), machines), target)
    places = [placer.place(machine)[0] for machine in machines]
    return [place.host.name for place in places if place is not None]


def test_vms_are_placed_by_what_the_target_hosts_hold():
    """Moved one at a time they do not all land on the first host; a plan's own VMs count as those that are there."""
    big, small = 2**38, 2**36
    b1, b2 = (host(name, f"10.99.0.{at}", memory_bytes=big) for name, at in (("b1", 9), ("b2", 10)))
    assert placed((b1, b2), vm("x", "a1")) == ["b1"]
    assert placed((replace(b1, used_bytes=2**30), b2), vm("y", "a1")) == ["b2"]
    full = replace(b1, used_bytes=2**31)
    assert placed((full, b2), *(vm(f"z{n}", "a1") for n in range(4))) == ["b2", "b2", "b1", "b2"]
    assert placed(
        (replace(b1, memory_bytes=small, used_bytes=2**33), replace(b2, used_bytes=2**34)), vm("x", "a1")
    ) == ["b2"]


def test_hosts_that_do_not_tell_what_they_hold_are_compared_by_bytes():
    """And VMs that are off, which use no memory, by their number."""
    b1, b2 = host("b1", "10.99.0.9", used_bytes=2**30), host("b2", "10.99.0.10", memory_bytes=2**38)
    assert placed((b1, b2), vm("x", "a1")) == ["b2"]
    off = [vm(f"off{n}", "a1", power_state="poweredOff") for n in range(3)]
    assert placed((host("b1", "10.99.0.9"), b2), *off) == ["b1", "b2", "b1"]


@pytest.mark.parametrize("steer", ["route", "gateway"])
@pytest.mark.parametrize("mode", MODES)
def test_a_mode_changes_the_kinds_of_settings_that_it_names(mode, steer):
    """The privileges that are looked for rest on it; every value is of a type that its kind takes."""
    plan = make(mode, config={**CONFIG, "steer": steer}, reboot=True)
    changes = [change for change in plan.changes if not change.target.is_relay]
    assert bool(changes) == MODES[mode].CHANGES_SETTINGS
    for change in changes:
        assert change.key.kind.name in MODES[mode].kinds(change.target.site)
        assert change.key.kind.takes(change.planned)


def alike(**changes):
    """Return two VMs of one name as a run calls them, in two folders that the target has."""
    folders = [Folder(ref=MoRef("Folder", name), path=name, datacenter="DC") for name in ("Prod", "Test")]
    machines = [
        replace(vm(name, "a1"), name=f"{name}/web1", inventory_name="web1", folder=name, datacenter="DC")
        for name in ("Prod", "Test")
    ]
    base = inventory("target", (host("b1", "10.99.0.9"),))
    inputs = Inputs(
        config=configs.parse({**CONFIG, **changes.pop("config", {})}),
        source=inventory("source", (host("a1", "10.88.0.9"),), tuple(machines)),
        target=replace(base, folders=(*base.folders, *folders[: changes.pop("folders", 2)])),
        **changes,
    )
    return planned(lay_out(inputs, "stock", machines), "abc234", bounds=lambda name: BOUNDS)


def test_vms_of_one_name_keep_apart():
    """Each goes to its own folder, as its own migration."""
    made = alike()
    assert [(move.vm, move.placement.folder.path) for move in made.migrations] == [
        ("Prod/web1", "Prod"),
        ("Test/web1", "Test"),
    ]
    assert made.applyable


def test_vms_of_one_name_do_not_arrive_in_one_folder():
    """It takes one of the name: the second move would fail in the middle of the run."""
    (clash,) = [finding for finding in alike(folders=0).findings if finding.severity == "error"]
    assert (clash.code, clash.subject) == ("vm-name-clash", "vm/Test/web1")
    assert "'Prod/web1' of this run" in clash.summary


def test_waves_and_dependencies_name_vms_in_any_way():
    """Path, UUID or reference; a CSV file too, which wins."""
    wave = [{"name": "first", "vms": ["Test/*"]}]
    made = alike(config={"wave": wave, "depends_on": {"moref:vm-Prod": ["DC:Test/web1", "other"]}})
    assert {move.vm: (move.wave, move.depends_on) for move in made.migrations} == {
        "Test/web1": (1, ()),
        "Prod/web1": (2, ("Test/web1", "other")),
    }
    rows = {"Prod/web1": VmOverride(vm="Prod/web1", depends_on=("DC:Test/web1",))}
    made = alike(config={"depends_on": {"Prod/web1": ["other"]}}, overrides=rows)
    assert {move.vm: move.depends_on for move in made.migrations} == {"Prod/web1": ("Test/web1",), "Test/web1": ()}


def test_a_dependency_on_a_name_of_two_vms_is_refused():
    """With both, as they can be typed."""
    with pytest.raises(UsageError, match="depends_on: 2 VMs of this run are called 'web1': 'Prod/web1', 'Test/web1'"):
        alike(config={"depends_on": {"Prod/web1": ["web1"]}})
