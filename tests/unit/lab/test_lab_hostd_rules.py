"""The simulated host's arithmetic and texts: routes, pre-copy, headers, ping's output."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrvmotion.lab.hostd import ping, protocol
from lrvmotion.lab.hostd.devices import Configuration, Vmknic, routes, rules
from lrvmotion.lab.hostd.precopy import ROUNDS_MAX, Precopy
from lrvmotion.lab.hostd.sockets import BUFFER_BYTES, buffer_bytes
from lrvmotion.lab.hostd.work import CHUNK_MAX, Work
from lrvmotion.lab.rpc import RpcError

MIB = 1024 * 1024


def nic(device: str, address: str, netstack: str = "defaultTcpipStack", gateway: str | None = None) -> Vmknic:
    return Vmknic(
        device=device, mac="00:50:56:00:00:01", address=address, prefix_length=24, mtu=1500, netstack=netstack,
        gateway=gateway,
    )  # fmt: skip


def config(*nics: Vmknic) -> Configuration:
    return Configuration(vmknics={item.device: item for item in nics})


def test_an_override_is_in_the_table_of_its_vmknic_and_nowhere_else() -> None:
    """A gateway override never shows in the netstack's own table."""
    made = config(nic("vmk1", "10.88.0.9", gateway="10.88.0.2"), nic("vmk2", "10.88.0.10"))
    made.defaults["defaultTcpipStack"] = "10.88.0.254"
    lines = routes(made)
    assert [line for line in lines if "10.88.0.2 " in line] == ["default via 10.88.0.2 dev vmk1 table 2001"]
    assert "default via 10.88.0.254 dev vmk2 table 2002" in lines
    assert "default via 10.88.0.254 dev vmk1 table 254" in lines
    assert "default via 10.88.0.254 dev vmk1 table 2001" not in lines


def test_a_static_route_serves_bound_and_unbound_traffic() -> None:
    """A route of the netstack is in its table and in that of each vmknic that reaches the gateway."""
    made = config(nic("vmk1", "10.88.0.9", gateway="10.88.0.254"), nic("vmk2", "10.77.0.10"))
    made.routes.add(("defaultTcpipStack", "10.99.0.9/32", "10.88.0.2"))
    lines = [line for line in routes(made) if line.startswith("10.99.0.9/32")]
    assert lines == ["10.99.0.9/32 via 10.88.0.2 dev vmk1 table 2001", "10.99.0.9/32 via 10.88.0.2 dev vmk1 table 254"]


def test_netstacks_do_not_see_each_others_routes() -> None:
    """A second netstack is a table of its own, chosen by source address and by mark."""
    made = config(nic("vmk0", "10.77.0.9"), nic("vmk1", "10.88.0.9", "vmotion"))
    made.defaults["vmotion"] = "10.88.0.254"
    table = made.table("vmotion")
    assert table not in (0, 254)
    assert not [line for line in routes(made) if "vmk1" in line and line.endswith("table 254")]
    assert f"default via 10.88.0.254 dev vmk1 table {table}" in routes(made)
    assert f"pref 2001 from 10.88.0.9 lookup {table}" in rules(made)
    assert any(f"fwmark {table} lookup {table}" in line for line in rules(made))


def test_a_route_whose_gateway_nobody_reaches_is_not_in_force() -> None:
    """When its vmknic has gone, a route waits in the configuration."""
    made = config(nic("vmk0", "10.77.0.9"))
    made.routes.add(("defaultTcpipStack", "10.99.0.9/32", "10.88.0.2"))
    assert not [line for line in routes(made) if "10.99.0.9" in line]


def test_precopy_without_writes_goes_straight_to_switchover() -> None:
    """A VM that writes nothing is stunned as soon as the rest fits the switchover time."""
    plan = Precopy(memory_bytes=64 * MIB, disk_bytes=0, dirty_bps=0, switchover_s=1.0)
    assert plan.step(elapsed_s=9.0, rate=MIB, outstanding=4 * MIB) == "wait"
    assert plan.step(elapsed_s=9.0, rate=MIB, outstanding=MIB // 4) == "switchover"


def test_precopy_sends_what_was_written_until_it_fits() -> None:
    """Rounds shrink by dirty rate over line rate, then the VM is stunned."""
    plan = Precopy(memory_bytes=1000 * MIB, disk_bytes=0, dirty_bps=10 * MIB, switchover_s=0.5)
    size, steps = plan.first(), []
    while not steps or steps[-1] == "round":
        elapsed = size / (100 * MIB)
        size = plan.dirty(elapsed)
        steps.append(plan.step(elapsed_s=elapsed, rate=100 * MIB, outstanding=0))
    assert steps == ["round", "switchover"]
    assert size == 10 * MIB


@given(dirty=st.integers(1, 10**10), rate=st.floats(1, 1e9), memory=st.integers(1, 10**10))
def test_precopy_always_ends(dirty, rate, memory) -> None:
    """However fast the guest writes, the rounds are bounded and none is larger than the memory."""
    plan = Precopy(memory_bytes=memory, disk_bytes=0, dirty_bps=dirty, switchover_s=1.0)
    size = plan.first()
    for _ in range(ROUNDS_MAX + 1):
        elapsed = size / rate
        size = plan.dirty(elapsed)
        assert size <= memory
        if plan.step(elapsed_s=elapsed, rate=rate, outstanding=0) == "switchover":
            return
    pytest.fail("pre-copy goes on for ever")


def test_buffers_grow_with_rate_and_delay_only_in_latency_mode() -> None:
    """Below 4 ms the fixed size, else line rate x RTT: 133 MB/s x 55 ms is 7.3 MB."""
    assert buffer_bytes(133_000_000, 0.0039) == BUFFER_BYTES
    assert buffer_bytes(133_000_000, 0.055) == pytest.approx(7_315_000, abs=1)
    assert buffer_bytes(2_000_000_000, 0.055) == pytest.approx(110_000_000, abs=1)
    assert buffer_bytes(1_000_000, 0.055) == BUFFER_BYTES


@given(size=st.integers(0, 200 * MIB), streams=st.integers(1, 48))
def test_work_is_handed_out_whole_and_then_ends(size, streams) -> None:
    """The chunks add up to what was put in, and 0 says that nothing will come again."""
    work = Work(streams)
    work.add(size, last=True)
    total = 0
    while chunk := work.take(0.0):
        assert chunk <= CHUNK_MAX
        total += chunk
    assert total == size
    assert work.take(0.0) == 0


@given(text=st.text(max_size=40), number=st.integers(0, 255), rest=st.binary(max_size=20))
def test_a_header_is_read_back_and_says_how_much_is_missing(text, number, rest) -> None:
    """A header can be read from any split of the bytes, and never eats the payload."""
    data = protocol.header(text, number)
    assert protocol.parse_header(data + rest) == ({"id": text, "stream": number}, len(data))
    have = 0
    while not isinstance(need := protocol.parse_header(data[:have]), tuple):
        assert have < need <= len(data)
        have = need
    assert have == len(data)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1", protocol.MAGIC + b"\xff\xff\xff\xff", b"\0" * 12])
def test_anything_else_is_not_a_stream(data) -> None:
    """Other bytes, or a header too large to be one, are refused."""
    with pytest.raises(ValueError):
        protocol.parse_header(data)


@given(counts=st.lists(st.integers(0, 2**63), max_size=6), split=st.integers(1, 20))
def test_counts_survive_any_split(counts, split) -> None:
    """The last count is known once its last byte is there."""
    data = b"".join(protocol.COUNT.pack(count) for count in counts)
    reader, last = protocol.Counts(), None
    for start in range(0, len(data), split):
        found = reader.feed(data[start : start + split])
        last = last if found is None else found
    assert last == (counts[-1] if counts else None)


PING = """PING 10.99.0.9 (10.99.0.9) from 10.88.0.9 vmk1: 56(84) bytes of data.
64 bytes from 10.99.0.9: icmp_seq=1 ttl=62 time=55.6 ms
64 bytes from 10.99.0.9: icmp_seq=3 ttl=62 time=112 ms
64 bytes from 10.99.0.9: icmp_seq=3 ttl=62 time=113 ms (DUP!)

--- 10.99.0.9 ping statistics ---
3 packets transmitted, 2 received, +1 duplicates, 33.3333% packet loss, time 401ms
rtt min/avg/max/mdev = 55.612/83.800/112.001/28.1 ms
"""


def test_ping_output_becomes_the_record_in_microseconds() -> None:
    """Counts from the summary, one trace entry an answer, sequence numbers from 0."""
    found = ping.parse(PING, "")
    assert (found["transmitted"], found["received"], found["duplicated"]) == (3, 2, 1)
    assert (found["rtt_min_us"], found["rtt_avg_us"], found["rtt_max_us"]) == (55612, 83800, 112001)
    assert [entry["seq"] for entry in found["trace"]] == [0, 2]
    assert found["trace"][0] == {"seq": 0, "rtt_us": 55600, "ttl": 62, "bytes": 64, "host": "10.99.0.9"}


@pytest.mark.parametrize(
    "said",
    ["ping: local error: message too long, mtu=1500", "ping: sendmsg: Message too long"],
)
def test_a_ping_too_large_for_the_device_fails_as_on_esxi(said) -> None:
    """df and too large: the words of ESXi's own error."""
    with pytest.raises(RpcError, match=r"sendto\(\) failed \(Message too long\)"):
        ping.parse("PING x\n\n--- x ping statistics ---\n1 packets transmitted, 0 received", said)


def test_a_ping_that_could_not_send_says_why() -> None:
    """No summary: ping's own last words are the error."""
    with pytest.raises(RpcError, match="Network is unreachable"):
        ping.parse("", "ping: connect: Network is unreachable")


def test_no_answer_is_a_result_and_not_an_error() -> None:
    """Everything lost: received 0, times 0."""
    found = ping.parse("2 packets transmitted, 0 received, 100% packet loss, time 1004ms", "")
    assert (found["transmitted"], found["received"], found["rtt_avg_us"], found["trace"]) == (2, 0, 0, [])
