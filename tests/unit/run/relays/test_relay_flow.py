"""A relay that carries nothing though its streams have data waiting is named with what is in the way, and gets well."""

from __future__ import annotations

import pytest

from lrvmotion.relay.link import parse
from lrvmotion.relay.status import parse_status
from lrvmotion.run.relays.flow import PATIENCE_S, STALL_S, Flow, Link, Load, Patience

UP = Link(device="lan0", state="up", received=1000, sent=1000)
DOWN = Link(device="lan0", state="down", carrier=False)
ENDS = ("10.88.0.9", "10.99.0.9")


class Box:
    """A relay whose flow is judged every two seconds; *quiet* are who does not answer its pings."""

    def __init__(self, near=(), far=()):
        self.now, self.carried, self.quiet, self.asked = 0.0, 0, [], 0
        self.flow = Flow(self.silent, near, far)

    def silent(self, peers):
        self.asked += 1
        return [peer for peer in peers if peer in self.quiet]

    def pass_(self, seconds, *, streams=5, waiting=5, bps=0, link=UP):
        end = self.now + seconds
        while self.now < end:
            self.now += 2.0
            self.carried += bps
            load = Load(streams=streams, carried=self.carried, waiting=waiting, ends=ENDS if streams else ())
            self.flow.take(self.now, load, link)
        return self.flow.reason


def test_what_flows_or_has_nothing_to_send_is_well():
    """However slow; streams that are open for a move that is being prepared have nothing that waits."""
    box = Box()
    assert box.pass_(60, bps=1) is None
    assert box.pass_(600, waiting=0) is None
    assert box.pass_(60, streams=0, waiting=0) is None
    assert box.asked == 0


def test_streams_that_stand_still_are_named_after_ten_seconds_with_the_far_end():
    """Data waits, nobody acknowledges, and the target does not answer the box."""
    box = Box()
    box.pass_(10, bps=1)
    box.quiet = ["10.99.0.9"]
    assert box.pass_(STALL_S - 2) is None
    assert box.pass_(4) == "carries nothing while 5 streams are open: 10.99.0.9 does not answer a ping from it"
    assert box.flow.since == box.now - 2


def test_an_end_that_answers_is_named_by_what_the_interface_received():
    """The path drops TCP, and lets ICMP through."""
    box = Box()
    box.pass_(10, bps=1)
    said = box.pass_(12)
    assert said == (
        "carries nothing while 5 streams are open: what it sends is not acknowledged (lan0 received 0 bytes meanwhile)"
    )


@pytest.mark.parametrize(
    ("link", "words"),
    [
        (DOWN, "its interface lan0 is down (operstate down, no carrier)"),
        (Link(device="lan0", state="lowerlayerdown"), "its interface lan0 is down (operstate lowerlayerdown)"),
        (Link(device=""), "no interface of it has the relay's address"),
    ],
)
def test_an_interface_that_is_down_is_named_at_once_and_with_no_stream_open_too(link, words):
    """Nothing would be carried for the next VM."""
    box = Box()
    assert box.pass_(2, streams=0, waiting=0, link=link) == f"cannot carry anything: {words}"
    assert box.pass_(2, streams=1, waiting=0, link=link) == f"carries nothing while 1 stream is open: {words}"
    assert box.pass_(2, streams=0, waiting=0, link=UP) is None


def test_a_state_that_a_driver_does_not_know_is_not_down():
    """Tunnels and bridges say "unknown"; a box that does not tell is not judged."""
    assert Box().pass_(20, streams=0, link=Link(device="tun0", state="unknown")) is None
    assert Box().pass_(20, streams=0, link=None) is None


def test_a_relay_is_well_when_bytes_flow_again_or_both_ends_answer():
    """Its streams may have ended meanwhile: with none of them left, the ends are asked."""
    box = Box()
    box.pass_(10, bps=1)
    box.quiet = ["10.99.0.9"]
    assert box.pass_(12) is not None
    assert box.pass_(2, bps=1) is None
    assert box.pass_(12) is not None
    since = box.flow.since
    assert box.pass_(30, streams=0, waiting=0) == "cannot carry anything: 10.99.0.9 does not answer a ping from it"
    assert box.flow.since == since
    box.quiet = []
    assert box.pass_(2, streams=0, waiting=0) is None
    assert box.flow.since is None


def test_one_dead_target_host_of_several_is_named_and_not_the_relays_fault():
    """While its streams stand still nothing is started; once they have ended the others' moves go on."""
    box = Box(near=("10.88.0.9", "10.88.0.10"), far=("10.99.0.9", "10.99.0.10"))
    box.pass_(10, bps=1)
    box.quiet = ["10.99.0.9"]
    assert box.pass_(12).endswith("10.99.0.9 does not answer a ping from it")
    assert box.pass_(2, streams=0, waiting=0) is None
    box.pass_(10, bps=1)
    box.quiet = ["10.99.0.9", "10.99.0.10"]
    assert box.pass_(12) is not None
    assert box.pass_(2, streams=0, waiting=0) == (
        "cannot carry anything: 10.99.0.9 and 10.99.0.10 do not answer a ping from it"
    )


def test_a_queue_waits_for_a_relay_as_long_as_anything_moves_and_five_minutes_more():
    """Then its VMs are held with the reason; a relay that got well has the whole time again."""
    patience = Patience()
    for now in range(0, 36_000, 10):
        patience.take(now, waits=True, idle=False)
    assert not patience.over
    patience.take(36_000, waits=True, idle=True)
    patience.take(36_000 + PATIENCE_S, waits=True, idle=True)
    assert not patience.over
    patience.take(36_000 + PATIENCE_S + 1, waits=True, idle=True)
    assert patience.over
    patience.take(40_000, waits=False, idle=True)
    patience.take(40_001, waits=True, idle=True)
    assert not patience.over


def test_what_a_box_prints_of_its_interface_is_read_and_nothing_else():
    """A login shell may print lines of its own; a link that is down has no carrier to read."""
    assert parse("Welcome!\nlrvmotion-link lan0 up 1 12 34\n") == Link(
        device="lan0", state="up", carrier=True, received=12, sent=34
    )
    assert parse("lrvmotion-link lan0 down 0 12 34") == Link(
        device="lan0", state="down", carrier=False, received=12, sent=34
    )
    assert parse("lrvmotion-link   0  \n") == Link(device="")
    for odd in ("", "Welcome!", "lrvmotion-link lan0 up 1", "lrvmotion-link lan0 up x 1 2", "lrvmotion-link"):
        assert parse(odd) is None


def stream(verdict):
    return {
        "source": "10.88.0.9:52014", "target": "10.99.0.9:8000", "verdict": verdict, "rtt_us": 55_000, "rate_bps": 0,
        "retransmit_ratio": 0.0, "bytes_to_target": 0,
    }  # fmt: skip


def status(*verdicts):
    return {
        "live": len(verdicts), "peak": 5, "accepted": 9, "rate_bps": 0, "sentence": "fine", "bytes_to_target": 7,
        "limit_bps": None, "congestion_control": "bbr", "uptime_s": 1.5, "refused": {},
        "streams": [stream(verdict) for verdict in verdicts],
    }  # fmt: skip


def test_streams_whose_data_is_not_acknowledged_are_told_from_those_that_have_none():
    """With the addresses at both ends of one of them, and where all of them come from."""
    found = parse_status(status("congestion", "application"))
    assert (found.waiting, found.ends, found.sources) == (1, ENDS, ("10.88.0.9:52014",) * 2)
    idle = parse_status(status("application"))
    assert (idle.waiting, idle.ends) == (0, ())
