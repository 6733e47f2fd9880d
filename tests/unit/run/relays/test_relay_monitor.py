"""Relays are watched from their own threads: what is told is fresh, and a silent box holds nobody up."""

from __future__ import annotations

import threading
import time

from lrvmotion.errors import UnreachableError
from lrvmotion.events import RelaySample
from lrvmotion.run.relays.monitor import Watch


def sample(relay):
    return RelaySample(relay=relay, streams=5, bps=1e9, rtt_ms=55.0, retransmits=0.1, limiter="", bytes=1)


def refuse(relay):
    message = f"relay/{relay}: no relay answers"
    raise UnreachableError(message)


def test_samples_are_told_once():
    """Every sample is handed over, in order, one time."""
    with Watch(["r"], sample, lambda relay: True, every_s=0.01) as watch:
        assert watch.trouble("r", 2.0) is None
        assert watch.news()
        assert watch.silent_s("r") < 2.0


def test_a_dead_relay_on_a_living_box_is_trouble_and_no_silence():
    """Plain forwarding goes on: the routes need not go back."""
    with Watch(["r"], refuse, lambda relay: True, every_s=0.01) as watch:
        assert watch.trouble("r", 2.0) == "relay/r: no relay answers"
        assert watch.silent_s("r") < 1.0
        assert watch.news() == []


def test_silence_of_a_box_grows_and_asking_takes_no_longer_than_allowed():
    """A question that hangs for half a minute holds up nothing but itself."""
    release = threading.Event()

    def hang(relay):
        release.wait(20)
        refuse(relay)

    with Watch(["r"], hang, lambda relay: False) as watch:
        began = time.monotonic()
        assert watch.trouble("r", 0.2) == "relay r: no answer within 0 s"
        assert time.monotonic() - began < 2.0
        assert watch.silent_s("r") >= 0.2
        release.set()


def test_a_relay_that_comes_back_is_no_trouble_any_more():
    """The newest answer counts."""
    dead = threading.Event()
    dead.set()
    with Watch(
        ["r"], lambda relay: refuse(relay) if dead.is_set() else sample(relay), lambda relay: False, every_s=0.01
    ) as watch:
        assert watch.trouble("r", 2.0) is not None
        dead.clear()
        assert watch.trouble("r", 2.0) is None
