"""Modes and steerings: one module and one line of the registry each, and everything else derives from these."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from fakes import host
from lrvmotion.commands import options
from lrvmotion.config import schema
from lrvmotion.errors import UsageError
from lrvmotion.forecast.estimate import Sending
from lrvmotion.model.mode import MODE_CHOICES, MODE_NAMES, Steering
from lrvmotion.model.setting import ABSENT, SETTING_KINDS, SettingKey, string
from lrvmotion.plan.modes import MODES, available
from lrvmotion.plan.steering import STEERING, relay_address

ROOT = Path(__file__).parents[3]
SITES = ("source", "target")
BARE = {"source": {"vcenter": "a", "username": "u"}, "target": {"vcenter": "b", "username": "u"}}
RELAYED = {**BARE, "relay": {"source": [{"name": "r1", "host": "h", "address": "10.88.0.1"}]}}


def config(content=RELAYED, **more):
    return schema.parse({**content, **more})


def test_the_registries_hold_exactly_the_names():
    """A mode or steering that lacks its line is found here, and one under another name; their order counts."""
    assert tuple(MODES) == MODE_NAMES == tuple(mode.NAME for mode in MODES.values())
    assert tuple(STEERING) == get_args(Steering) == tuple(steering.NAME for steering in STEERING.values())


def test_a_mode_is_named_in_its_own_module_and_in_the_model():
    """Whatever asks "is it proxy mode?" elsewhere would have to be found and changed for the next mode."""
    pattern = re.compile("|".join(f'"{name}"' for name in MODE_NAMES))
    package = ROOT / "src" / "lrvmotion"
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if pattern.search(path.read_text()) and path.relative_to(package).parts[0] != "lab"
    }
    assert found == {"model/mode.py", *(f"plan/modes/{name}.py" for name in MODE_NAMES)}


def test_the_configuration_takes_these_and_no_others():
    """`mode` and `steer` are the registries' names, and auto."""
    assert [config(mode=mode).mode for mode in MODE_CHOICES] == [*MODES, "auto"]
    assert [config(steer=steering).steer for steering in STEERING] == list(STEERING)
    for key in ("mode", "steer"):
        with pytest.raises(UsageError):
            config(**{key: "teleport"})


def test_the_command_line_takes_these_and_no_others():
    """--mode names them all in its help, and refuses others with all of them."""
    assert [options.known_mode(mode) for mode in (*MODE_CHOICES, None)] == [*MODES, "auto", None]
    assert re.split(r", | or ", options.MODES) == list(MODE_CHOICES)
    with pytest.raises(UsageError, match="no mode 'fast'") as refused:
        options.known_mode("fast")
    assert refused.value.hint == "the modes are stock, native, proxy, auto"


def test_the_documents_name_them_all():
    """examples/full.toml is where people look for what may be written, README.md for which mode to take."""
    readme = (ROOT / "README.md").read_text()
    assert all(f"| `{name}` |" in readme for name in MODES)
    text = (ROOT / "examples" / "full.toml").read_text()
    assert " | ".join(MODE_CHOICES) in text
    assert all(f'"{name}"' in text for name in STEERING)


@pytest.mark.parametrize("name", MODES)
def test_a_mode_that_changes_nothing_wants_nothing(name):
    """What is set, made or needed on hosts, and whether the path is verified before the first move, go together."""
    mode = MODES[name]
    wants = [found for site in SITES for found in (mode.options(config(), site), mode.vmknics(config(), site))]
    wants += [mode.kinds(site) for site in SITES]
    assert any(wants) == mode.CHANGES_SETTINGS


@pytest.mark.parametrize("name", MODES)
def test_a_mode_with_a_relay_has_the_relay_send(name):
    """So the relay's cap bounds it, and what hosts lose says nothing of it; without one hosts keep their own TCP."""
    mode, hosts = MODES[name], Sending(streams=3, law="cubic", window_bytes=1.0)
    sending = mode.sending(config(), hosts, 55.0)
    assert sending.relayed == mode.NEEDS_RELAY
    assert mode.NEEDS_RELAY or sending.law == "cubic"
    assert mode.CHANGES_SETTINGS or sending == hosts


def test_without_a_near_relay_the_modes_that_need_one_are_not_available():
    """auto chooses among the available ones; the one that changes most comes last."""
    assert available(config()) == MODE_NAMES
    assert available(config(BARE)) == tuple(name for name, mode in MODES.items() if not mode.NEEDS_RELAY)


def test_revert_puts_steering_back_first_whatever_its_kind():
    """A route through a relay host that no longer forwards would cut its host off."""
    assert {name for name, kind in SETTING_KINDS.items() if kind.steers} == {one.KIND for one in STEERING.values()}


@pytest.mark.parametrize("name", STEERING)
def test_what_leads_to_a_relay_is_known_by_key_and_value(name):
    """A relay host that is lost is gone round by these settings alone: all that were made, and nothing else."""
    (relay,) = config().relay.source
    made = STEERING[name].settings(host("a1", "10.88.0.9"), relay, ["10.99.0.9", "10.99.0.10"])
    assert made
    for key, value, _reason in made:
        assert key.kind.name == STEERING[name].KIND
        assert relay_address(key, value) == relay.address
        assert relay_address(key, ABSENT) is None
    assert relay_address(SettingKey("unit/lrvmotion"), string(relay.address)) is None
