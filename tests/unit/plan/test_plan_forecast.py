"""The forecast of a plan: its modes, its VMs and its queue, and which mode auto takes."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

import fakes
from lrvmotion.config import schema
from lrvmotion.model.inventory import MoRef
from lrvmotion.model.load_report import LoadReport, LoadRun
from lrvmotion.model.path_quality import PathQuality
from lrvmotion.plan import plan_forecast
from lrvmotion.plan.plan import Migration, Plan
from lrvmotion.views.plan import forecast as view
from lrvmotion.workflows import plan_run

SITES = {
    "source": {"vcenter": "a", "username": "u", "vmotion": {"addresses": ["10.88.0.20-10.88.0.29"]}},
    "target": {"vcenter": "b", "username": "u", "vmotion": {"addresses": ["10.99.0.20-10.99.0.29"]}},
}
RELAY = {"relay": {"source": [{"name": "r", "host": "r", "address": "10.88.0.1"}]}}


def load(**rates: float) -> LoadReport:
    runs = tuple(
        LoadRun(
            algorithm="bbr" if name.startswith("bbr") else "reno", streams=int(name.rpartition("_")[2]), seconds=5,
            mbps=mbps, retransmit_ratio=0.005, rtt_ms=55, min_rtt_ms=55,
        )
        for name, mbps in rates.items()
    )  # fmt: skip
    return LoadReport(near="relay-a", far="relay-b", measured_at="2026-01-01T00:00:00Z", mss=1448, runs=runs)


LOSSY = load(reno_1=3.6, reno_48=165, bbr_1=857, bbr_5=800)


class Host:
    def __init__(self, name: str) -> None:
        self.name = name
        self.ref = MoRef("Datastore", name)


class Place:
    def __init__(self, host: str) -> None:
        self.host = Host(host)
        self.datastore = Host("ds")
        self.datastores = (self.datastore,)


def migration(vm: str, source: str = "a1", target: str = "b1", *, hot: int = 10**9, cold: int = 0) -> Migration:
    place: Any = Place(target)
    ref: Any = None
    return Migration(
        vm=vm, ref=ref, instance_uuid=vm, source_host=source, placement=place, hot_bytes=hot, cold_bytes=cold,
        power_state="poweredOn", snapshots=0,
    )  # fmt: skip


def parsed(more: dict[str, Any] | None = None) -> schema.Config:
    return schema.parse({**SITES, **(more or {})})


def plan(*moves: Migration) -> Plan:
    return Plan(run="r", owner_id="r", mode="proxy", migrations=moves)


def test_vms_and_the_queue_take_what_their_bytes_take() -> None:
    """1 GB at 800 Mbit/s is 10 s; two from one host are one after the other."""
    made = plan_forecast.make(plan(migration("x"), migration("y")), parsed(RELAY), (), (), load=LOSSY, age_s=7300)
    assert [vm.seconds for vm in made.vms] == [pytest.approx(10), pytest.approx(10)]
    assert made.queue_s == pytest.approx(20)
    assert "2 h old" in made.basis


def test_moves_at_once_share_the_line() -> None:
    """Two hosts at once through a circuit of 857 Mbit/s: each has half of it."""
    moves = (migration("x"), migration("y", "a2", "b2"))
    made = plan_forecast.make(plan(*moves), parsed(RELAY), (), (), load=LOSSY, age_s=None)
    assert made.concurrent_moves == 2
    assert made.queue_s == pytest.approx(8000 / (857 / 2))


def test_moves_at_once_share_the_relays_cap() -> None:
    """A cap of 400 Mbit/s and one relay: two moves have 200 each."""
    capped = parsed({"relay": {**RELAY["relay"], "limit": "400M"}})
    two = plan(migration("x"), migration("y", "a2", "b2"))
    made = plan_forecast.make(replace(two, relays=("r",)), capped, (), (), load=LOSSY, age_s=None)
    assert made.queue_s == pytest.approx(8000 / 200)


def test_cold_bytes_go_by_nfc_at_one_stream() -> None:
    """A powered-off VM does not pass the relay: 1 GB at 3.6 Mbit/s."""
    made = plan_forecast.make(plan(migration("x", hot=0, cold=10**9)), parsed(RELAY), (), (), load=LOSSY, age_s=None)
    assert made.vms[0].seconds == pytest.approx(8000 / 3.6)


def test_a_measured_dirty_rate_that_is_too_high_is_told() -> None:
    """200 MB/s against 100 MB/s: the guest will be slowed down by half."""
    made = plan_forecast.make(
        plan(migration("x")), parsed(RELAY), (), (), load=LOSSY, age_s=None, dirty={"x": 200 * 1_000_000}
    )
    assert not made.vms[0].converges
    assert made.vms[0].slowed == pytest.approx(0.5)
    assert "vSphere will slow it down" in shown(made)


def test_without_a_probe_it_is_a_range_and_says_so() -> None:
    """Idle pings give no rate of proxy mode, so no time either; past moves do."""
    pings = [PathQuality(source="a", target="b", sent=100, received=99, rtt_ms=55)]
    made = plan_forecast.make(plan(migration("x")), parsed(RELAY), (), pings, load=None, age_s=None)
    assert "a range" in made.basis
    assert made.vms[0].seconds is None
    assert made.queue_s is None
    made = plan_forecast.make(
        plan(migration("x")), parsed(RELAY), (), pings, load=None, age_s=None, past=[("proxy", 800.0)]
    )
    assert made.queue_s == pytest.approx(10)


def test_auto_takes_the_best_forecast_that_the_configuration_allows() -> None:
    """Proxy only with a relay; without loss nothing needs to be changed; without a probe as before."""
    assert plan_run.resolve(parsed(RELAY), "auto", LOSSY) == "proxy"
    assert plan_run.resolve(parsed(), "auto", LOSSY) == "native"
    clean = load(reno_1=930, reno_48=940, bbr_5=941)
    assert plan_run.resolve(parsed(RELAY), "auto", clean) == "stock"
    assert plan_run.resolve(parsed(RELAY), "native", LOSSY) == "native"
    assert plan_run.resolve(parsed(RELAY), "auto") == "proxy"
    assert plan_run.resolve(parsed(), "auto") == "native"


def shown(made: Any, width: int = 80) -> str:
    to = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, highlight=False)
    view.show(to, made, "proxy")
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


def test_the_picture_fits_80_columns_and_needs_no_colour() -> None:
    """One bar a mode, the longest for the fastest; what limits the plan's mode in words."""
    made = plan_forecast.make(plan(migration("x")), parsed(RELAY), (), (), load=LOSSY, age_s=60)
    lines = shown(made).splitlines()
    assert all(len(line) <= 80 for line in lines)
    bars = {
        line.split()[0]: line.count("█") for line in lines if "bit/s" in line and line.split()[0] in made_modes(made)
    }
    assert bars["proxy"] == view.BAR
    assert 0 <= bars["stock"] < bars["native"] < bars["proxy"]
    assert "BBR streams carry" in " ".join(shown(made).split())


def made_modes(made: Any) -> set[str]:
    return {estimate.mode for estimate in made.estimates}


def test_json_has_every_mode_and_vm() -> None:
    """Rates are numbers or null; a plan without a forecast has null."""
    made = plan_forecast.make(plan(migration("x")), parsed(RELAY), (), (), load=LOSSY, age_s=60)
    document: Any = view.document(made)
    assert set(document["modes"]) == {"stock", "native", "proxy"}
    assert document["modes"]["native"]["mbps"] == 165
    assert document["vms"][0]["seconds"] == 10
    assert view.document(None) is None
    assert view.document(replace(made, queue_s=None))["queue_s"] is None  # type: ignore[index]


def wide(name: str, *links: int) -> Any:
    """Return a host whose vMotion vmknic has uplinks of so many Mbit/s."""
    return fakes.host(name, "10.88.0.9", uplinks={"vmk1": tuple((f"vmnic{n}", mbps) for n, mbps in enumerate(links))})


CLEAN = PathQuality(source="a1", target="b1", sent=20, received=20, rtt_ms=0.2, jitter_ms=0.0)


def ranges(sources: tuple[Any, ...], targets: tuple[Any, ...], more: dict[str, Any], **given: Any) -> dict[str, Any]:
    made = plan_forecast.make(
        plan(migration("x")), parsed(more), sources, (CLEAN,), load=None, age_s=None, targets=targets, **given
    )
    return {estimate.mode: estimate for estimate in made.estimates}


def test_a_forecast_without_a_probe_is_bounded_by_what_is_known_of_nics() -> None:
    """48 streams over 0.2 ms would be hundreds of Gbit/s; the hosts' links, the slower side's, say what they can be."""
    loose = ranges((wide("a1"),), (wide("b1"),), RELAY)
    assert loose["native"].high > 100_000
    found = ranges((wide("a1", 25_000),), (wide("b1", 10_000),), RELAY)
    assert {mode: estimate.high for mode, estimate in found.items()} == dict.fromkeys(found, pytest.approx(9415, abs=1))
    assert found["native"].mbps == pytest.approx(9415, abs=1)
    assert found["native"].limiter == "the uplinks of the vMotion vmknics: 10000 Mbit/s at b1"
    assert found["proxy"].mbps is None


def test_one_vmknic_has_one_uplink_and_native_mode_has_more() -> None:
    """A team of two gives stock and proxy mode the speed of one link; links that are down give nothing."""
    found = ranges((wide("a1", 10_000, 10_000),), (wide("b1", 100_000),), RELAY)
    assert found["stock"].high == pytest.approx(9415, abs=1)
    assert found["native"].high == pytest.approx(18_830, abs=1)
    assert wide("a1", 0).uplink_mbps() is None
    assert wide("a1", 10_000, 0).uplink_mbps(5) == 10_000


def test_a_relays_interface_and_the_configured_circuit_bound_too() -> None:
    """The relay's link bounds proxy mode alone, the circuit all of them."""
    found = ranges((wide("a1", 10_000),), (wide("b1", 10_000),), RELAY, relay_nics={"r": 1000})
    assert found["proxy"].high == pytest.approx(941.5, abs=0.1)
    assert found["native"].high == pytest.approx(9415, abs=1)
    more = {"relay": {**RELAY["relay"], "circuit_rate": "500M"}}
    found = ranges((wide("a1", 10_000),), (wide("b1", 10_000),), more)
    assert found["native"].high == pytest.approx(470.7, abs=0.1)
    assert found["native"].limiter == "the circuit, which the configuration says carries 500 Mbit/s"
    assert found["proxy"].high <= 475


def test_hosts_whose_links_are_not_known_bound_nothing() -> None:
    """One of several that does not tell may be the fastest."""
    moves = plan(migration("x"), migration("y", "a2"))
    found = plan_forecast.bounds(moves, parsed(RELAY), (wide("a1", 1000), wide("a2")), (), {})
    assert found == {"stock": [], "native": [], "proxy": []}


def test_a_rate_that_is_not_known_is_shown_with_its_bound() -> None:
    """Proxy mode without a probe: "up to" what the NICs carry."""
    made = plan_forecast.make(
        plan(migration("x")), parsed(RELAY), (wide("a1", 10_000),), (CLEAN,), load=None, age_s=None,
        targets=(wide("b1", 10_000),),
    )  # fmt: skip
    to = Console(file=io.StringIO(), width=100)
    view.show(to, made, "proxy")
    (line,) = [text for text in to.file.getvalue().splitlines() if text.strip().startswith("proxy ")]  # type: ignore[attr-defined]
    assert line.split()[1:3] == ["not", "known"]
    assert line.endswith("up to 9.41 Gbit/s")
