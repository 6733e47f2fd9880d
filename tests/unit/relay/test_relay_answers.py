"""What a relay host answers is held against its shape: anything else is one error, and reaches no terminal as it is."""

from __future__ import annotations

import json

import pytest

from lrvmotion.errors import LrvmotionError, UnreachableError, printable
from lrvmotion.events import RelaySample
from lrvmotion.model.setting import SettingKey
from lrvmotion.model.target_id import TargetId
from lrvmotion.ports.shell import Completed
from lrvmotion.relay import answers
from lrvmotion.relay.box import RelayBox
from lrvmotion.relay.facts import facts
from lrvmotion.relay.redirect import parse
from lrvmotion.relay.status import ask, counters, health, parse_status
from lrvmotion.run.relays.monitor import Watch

STREAM = {
    "target": "10.99.0.9:8000",
    "bytes_to_target": 7,
    "rate_bps": 8,
    "retransmit_ratio": 0.0,
    "shares": {},
    "verdict": "application",
}
STATUS = {
    "live": 1, "peak": 5, "accepted": 9, "rate_bps": 10, "sentence": "fine", "bytes_to_target": 7, "limit_bps": None,
    "congestion_control": "bbr", "uptime_s": 1.5, "refused": {"source": 2}, "streams": [STREAM], "redirect": None,
}  # fmt: skip


class Box:
    """A Shell that answers everything with the same."""

    name = "relay/relay-a"

    def __init__(self, stdout: str, content: bytes | None = None) -> None:
        self.stdout, self.content = stdout, content

    def run(self, argv, *, stdin=None, timeout_s=30.0):
        return Completed(argv=tuple(argv), status=0, stdout=self.stdout, stderr="")

    def read(self, path):
        return self.content


def test_a_whole_status_is_read():
    """The shape is that of the relay."""
    assert health(Box(json.dumps(STATUS)), "abc123").accepted == 9


@pytest.mark.parametrize("key", sorted(set(STATUS) - {"redirect"}))
@pytest.mark.parametrize("value", [..., True, "\x1b[2J", [1], {"a": None}, -(10**400), float("nan")])
def test_a_status_with_a_value_of_another_type_is_an_error_that_names_it(key, value):
    """Or without one: never a KeyError in the thread that watches the relay."""
    spoiled = {name: one for name, one in {**STATUS, key: value}.items() if one is not ...}
    if type(value) is type(STATUS[key]) and key in {"sentence", "congestion_control"}:
        return
    with pytest.raises(UnreachableError, match=f"relay/relay-a: the relay's status cannot be understood: {key}"):
        health(Box(json.dumps(spoiled)), "abc123")
    if key != "streams":
        with pytest.raises(LrvmotionError, match=key):
            parse_status(spoiled)


@pytest.mark.parametrize(
    "stream", [5, {}, {**STREAM, "rate_bps": "8"}, {**STREAM, "rtt_us": [1]}, {**STREAM, "shares": {"x": "y"}}]
)
def test_a_stream_of_another_shape_is_an_error_that_names_it(stream):
    """By its number."""
    with pytest.raises(UnreachableError, match=r"streams\[1\]"):
        ask(Box(json.dumps({**STATUS, "streams": [STREAM, stream]})), "abc123")


def test_a_status_that_is_cut_off_anywhere_is_an_error():
    """At every byte."""
    text = json.dumps(STATUS)
    for length in range(len(text)):
        with pytest.raises(UnreachableError):
            health(Box(text[:length]), "abc123")


LISTED = {
    "nftables": [
        {"table": {"family": "ip", "name": "lrvmotion_abc123"}},
        *({"counter": {"name": name, "packets": 3}} for name in ("hits", "echo", "fenced")),
    ]
}


def test_counters_that_are_cut_off_or_not_ours_are_an_error():
    """nft's output may end anywhere, and the table may be somebody else's."""
    text = json.dumps(LISTED)
    assert counters(Box(text), "abc123").hits == 3
    for length in range(1, len(text)):
        with pytest.raises(UnreachableError, match="relay/relay-a: "):
            counters(Box(text[:length]), "abc123")
    for spoiled in (
        {"nftables": {}},
        {"nftables": [5]},
        {"nftables": LISTED["nftables"][:2]},
        [],
        {"nftables": [{"counter": {"name": "hits", "packets": "x"}}]},
    ):
        with pytest.raises(UnreachableError):
            counters(Box(json.dumps(spoiled)), "abc123")


@pytest.mark.parametrize(
    ("key", "printed", "content"),
    [
        ("sysctl/net.ipv4.ip_forward", "", b"\xff"),
        ("file//etc/x", "rw-r--r--", b""),
        ("governor", "powersave", None),
        ("redirect/lrvmotion_abc123", '{"nftables": [{"rule": {}}]}', None),
        ("process/abc123", "Running= ", None),
    ],
)
def test_a_setting_that_cannot_be_understood_is_an_error(key, printed, content):
    """A run takes back what it changed for an error of ours, and restore goes on with the next setting."""
    with pytest.raises(UnreachableError, match="relay/relay-a: what is there of"):
        RelayBox(TargetId.relay("relay-a"), Box(printed, content)).read(SettingKey(key))


def test_a_redirect_that_is_listed_otherwise_is_an_error():
    """By nft or by iptables-save."""
    with pytest.raises(LrvmotionError):
        parse.nft_observed('{"nftables": {}}', "")
    with pytest.raises(LrvmotionError):
        parse.iptables_observed("ip", "LRVM_abc123", ':LRVM_abc123 - [0:0]\n-A LRVM_abc123 "', "")


def test_control_characters_of_an_answer_reach_no_terminal():
    """They are written out, in messages and in what is shown of a status."""
    withdrawn = {**STATUS, "redirect": {"state": "withdrawn", "reason": "\x1b]0;owned\x07\u202egnp"}}
    with pytest.raises(UnreachableError) as caught:
        health(Box(json.dumps(withdrawn)), "abc123")
    assert r"\x1b]0;owned\x07\u202egnp" in caught.value.message
    assert ask(Box(json.dumps({**STATUS, "sentence": "a\x1b[2Jb"})), "abc123")["sentence"] == r"a\x1b[2Jb"
    assert facts(Box("kernel=6\x1b[2J\nend=yes\n")).kernel == r"6\x1b[2J"
    assert printable("one\n\ttwo \u00e4\U0001f600") == "one\n\ttwo \u00e4\U0001f600"


def test_the_thread_that_watches_a_relay_goes_on_after_an_answer_that_is_not_whole():
    """The relay is not healthy then, and is again with the next whole answer."""
    said = iter([json.dumps(STATUS)[:-9], "{}", "[]", "\x00"])

    def sample(relay: str) -> RelaySample:
        status = health(Box(next(said, json.dumps(STATUS))), "abc123")
        return RelaySample(
            relay=relay, streams=status.streams, bps=status.bps, rtt_ms=None, retransmits=None, limiter="", bytes=0
        )

    with Watch(("relay-a",), sample, lambda _: True, every_s=0.01) as watch:
        assert any(watch.trouble("relay-a", 30.0) is None for _ in range(100))


@pytest.mark.parametrize(
    ("value", "shape", "where"),
    [
        ({"a": [1, "x"]}, {"a": [int]}, "a[1]"),
        ({"a": 1}, {"b?": int}, None),
        ({"a": True}, {"a": int}, "a"),
        ({"a": 1}, {"a": float}, None),
        ({"a": 2**63}, {"a": int}, "a"),
        ({"a": None}, {"a": (int, None)}, None),
        ({"a": {"b": 1, "c": "x"}}, {"a": {"*": int}}, "a.c"),
        ([], {"a": int}, "it"),
    ],
)
def test_a_shape_fits_or_names_what_does_not(value, shape, where):
    """Types, alternatives, lists, keys that may be missing, and any key."""
    if where is None:
        answers.check(value, shape, "it")
        return
    with pytest.raises(answers.GarbledError) as caught:
        answers.check(value, shape, "it")
    assert caught.value.message == f"it: {where} is missing or of another type"
