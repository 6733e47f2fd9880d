"""A run that breaks before its first move, by an error of whatever class, restores what it changed and ends."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime

import pytest

from fakes import FakeTarget, change_of
from lrvmotion.config.schema import HookPoint
from lrvmotion.errors import LrvmotionError, NotRestoredError, UnreachableError
from lrvmotion.events import Changed, Error, Interrupted, Left, RunEnded
from lrvmotion.journal.journal import Journal
from lrvmotion.journal.records import Connection
from lrvmotion.model.setting import ABSENT, Value
from lrvmotion.model.target_id import ConnectionId, TargetId
from lrvmotion.plan.plan import Plan
from lrvmotion.run.apply import StoppedError, revert
from lrvmotion.run.hooks import Hooks
from lrvmotion.workflows.migrate_run import Closing, Migrating
from lrvmotion.workflows.plan_run import RunOptions

HOST = TargetId("source/a1")
KEYS = ("option/A", "option/B", "option/C")
BEFORE = {"option/A": Value("int", 1), "option/B": Value("int", 2)}


class Bug(Exception):  # noqa: N818
    """What nobody foresaw."""


class Breaks(FakeTarget):
    """A host whose write of a value fails; *for_good*: its next ones, too."""

    error: Exception | None = None
    for_good = False

    def write(self, key, value) -> None:
        if self.error is not None and (value == Value("int", 30) or (self.for_good and key == "option/A")):
            raise self.error
        super().write(key, value)


class World:
    """A world of one host."""

    def __init__(self, target) -> None:
        self._target = target

    def accounts(self) -> dict[str, str]:
        return {}

    def pinned(self, name) -> Connection:
        return Connection(
            name=ConnectionId(name), host=f"{name}.example", port=443, username="u", instance_uuid=f"uuid-{name}"
        )  # fmt: skip

    def target(self, name):
        assert name == HOST
        return self._target


class Presses:
    """Ctrl-C after so many settings."""

    def __init__(self, after: int | None = None) -> None:
        self.after, self.seen = after, 0

    def count(self) -> int:
        return int(self.after is not None and self.seen >= self.after)

    def counted(self, patience=0):
        del patience
        return nullcontext()


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path, lambda: "2026-01-01T00:00:00.000+00:00") as opened:
        yield opened


def broken(journal, target, *, presses=None, points=None, restore=None):
    """Run a plan of three settings at *target*; return all events, and the error that came out."""
    presses = presses or Presses()
    told = []

    def observer(event) -> None:
        told.append(event)
        presses.seen += isinstance(event, Changed)

    changes = tuple(
        change_of(HOST, key, BEFORE.get(key, ABSENT), Value("int", 10 * number), "")
        for number, key in enumerate(KEYS, 1)
    )
    plan = Plan(run="abc234", owner_id="abc234", mode="stock", changes=changes)
    options = RunOptions(mode="stock", now=datetime(2026, 1, 1, tzinfo=UTC))
    error = None
    try:
        with Closing(
            journal=journal, observer=observer, options=options, interrupts=presses, restore=restore
        ) as closing:
            Migrating(
                CONFIG, World(target), journal, observer, plan, options, "{}", lambda: options.now, closing,
                presses.count, hooks=points,
            ).go()  # fmt: skip
    except (Bug, LrvmotionError) as raised:
        error = raised
    return told, error


class _Windows:
    """Always open."""

    def opens(self, now):
        return now


class _Relays:
    """None."""

    source = every = ()
    target = None


class _Config:
    windows = _Windows()
    relay = _Relays()
    limits = None


CONFIG = _Config()


@pytest.mark.parametrize("error", [Bug("secret"), UnreachableError("no answer", hint="wait")], ids=["bug", "error"])
def test_what_was_changed_is_restored_whatever_the_error(journal, error):
    """And RunEnded is the last event, true, behind the error; the text of a bug is in none of them."""
    target = Breaks(HOST, dict(BEFORE))
    target.error = error
    told, raised = broken(journal, target)
    assert target.values == BEFORE
    assert journal.outstanding() == []
    assert isinstance(raised, type(error))
    assert isinstance(told[-2], Error)
    assert told[-1] == RunEnded(run="abc234", outstanding=0)
    assert "secret" not in str(told)


def test_what_cannot_be_restored_is_named_and_ends_with_7(journal):
    """A bug that goes on: the rest is restored, the end says how much is left."""
    target = Breaks(HOST, dict(BEFORE))
    target.error, target.for_good = UnreachableError("gone"), True
    target.values["option/A"] = Value("int", 10)  # as planned already: ours all the same
    told, raised = broken(journal, target)
    assert isinstance(raised, NotRestoredError)
    assert target.values["option/B"] == BEFORE["option/B"]
    assert [event.key for event in told if isinstance(event, Left)] == ["option/A"]
    assert told[-1].outstanding == len(journal.outstanding()) == 1
    assert told[-1].restore is not None


def test_ctrl_c_while_settings_change_restores_them(journal):
    """No error; it says what was interrupted."""
    target = Breaks(HOST, dict(BEFORE))
    told, raised = broken(journal, target, presses=Presses(after=2))
    assert raised is None
    assert target.values == BEFORE
    assert [event.doing for event in told if isinstance(event, Interrupted)] == ["changing"]
    assert told[-1] == RunEnded(run="abc234", outstanding=0)


def test_the_end_goes_on_to_its_end_whatever_breaks_in_it(journal):
    """A restore that breaks: the hook after the run is called all the same, the last event comes, the error is told."""
    target = Breaks(HOST, dict(BEFORE))

    def restore() -> None:
        raise Bug

    called = []

    class Noted(Hooks):
        def run(self, point: HookPoint, subject, document):
            called.append((point, document.get("outstanding")))

    hooks = Noted(commands={}, timeout_s=1.0, environment={}, observer=lambda _: None)
    told, raised = broken(journal, target, points=hooks, restore=restore)
    assert isinstance(raised, Bug)
    assert called == [("before_run", None), ("after_run", 3)]
    assert isinstance(told[-2], Error)
    assert (told[-1].outstanding, told[-1].restore is None) == (3, False)


def test_a_run_that_was_not_begun_has_no_end(journal):
    """A relocate runs on a host: refused before RunStarted, and the command's own error is all."""
    target = Breaks(HOST, dict(BEFORE))
    target.running = ["vm9 moves"]
    told, raised = broken(journal, target)
    assert isinstance(raised, UnreachableError)
    assert told == []


def test_a_bug_of_one_host_leaves_the_others_restored(journal):
    """It is named as left, and comes out once all others were tried."""
    for key in KEYS[:2]:
        journal.intended("abc234", change_of(HOST, key, BEFORE[key], Value("int", 9), ""))

    class Odd(FakeTarget):
        def read(self, key):
            if key == "option/B":
                said = "secret"
                raise Bug(said)
            return super().read(key)

    target = Odd(HOST, dict.fromkeys(KEYS[:2], Value("int", 9)))
    told = []
    restored = revert(journal, lambda _: target, told.append, run="r")
    assert isinstance(restored.bug, Bug)
    assert target.values["option/A"] == BEFORE["option/A"]
    assert [(item.key, reason) for item, reason in restored.left] == [("option/B", "unexpected: Bug")]
    assert [item.key for item in journal.outstanding()] == ["option/B"]


def test_a_revert_ends_between_two_settings(journal):
    """What was stopped is no setting's fault: nothing is named as left."""
    for key in KEYS[:2]:
        journal.intended("abc234", change_of(HOST, key, BEFORE[key], Value("int", 9), ""))
    target = FakeTarget(HOST, dict.fromkeys(KEYS[:2], Value("int", 9)))
    told = []

    def proceed() -> None:
        if told:
            raise StoppedError

    with pytest.raises(StoppedError):
        revert(journal, lambda _: target, told.append, run="r", proceed=proceed)
    assert len(journal.outstanding()) == 1
    assert not [event for event in told if isinstance(event, Left)]


def test_a_wait_that_is_stopped_ends_the_revert(journal):
    """While a relocate runs on the host: no setting is left for that reason."""
    journal.intended("abc234", change_of(HOST, KEYS[0], BEFORE[KEYS[0]], Value("int", 9), ""))
    target = FakeTarget(HOST, {KEYS[0]: Value("int", 9)})
    target.running = ["vm9 moves"]

    def wait(target, running) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        revert(journal, lambda _: target, lambda _: None, run="r", wait=wait)
    assert len(journal.outstanding()) == 1
