"""Somebody tampered with a relay host's unit or killed its relay: what the run left there is found and removed."""

from __future__ import annotations

import pytest

from lrvmotion.lab.box.state import state
from lrvmotion.relay.box import RelaySpec, list_leftovers
from lrvmotion.run.apply import revert
from netns.box_world import requires_box
from netns.relaybox_site import FAR, FAR_ADDRESS, NEAR_ADDRESS, RUN, SOURCE, TARGET, make_site, processes

pytestmark = requires_box

UNIT = f"lrvmotion-relay-{RUN}.service"
TAMPERED = {
    "removed": "rm {file}",
    "removed, and systemd knows it": "rm {file}; systemctl daemon-reload",
    "removed and stopped": "rm {file}; systemctl daemon-reload; systemctl stop {unit}",
    "its links removed as well": "rm {file} /etc/systemd/system/*.wants/{unit}; systemctl daemon-reload",
}


def forced(site):
    return revert(site.journal, lambda name: site.boxes[name].target, lambda _: None, run="rst002", force=True)


def tamper(box, how: str) -> None:
    text = TAMPERED[how].format(unit=UNIT, file=f"/etc/systemd/system/{UNIT}")
    done = box.shell.run(["sh", "-c", text])
    assert done.ok, done.stderr


@pytest.mark.parametrize("how", TAMPERED)
def test_a_unit_whose_file_somebody_removed_leaves_nothing_of_the_run(tmp_path, how):
    """Neither its folder in /run, nor a table, nor a process: else every other operator is refused there for ever."""
    with make_site(tmp_path, systemd=True) as site:
        before, idle = state(site.record), processes(site.record)
        site.install()
        tamper(site.near, how)
        named = [item.key for item, _ in site.restore().left]
        assert named in ([], [f"unit/{UNIT}"])
        assert bool(named) == bool(list_leftovers(site.shell)), "what is left is named"
        assert forced(site).left == []
        assert list_leftovers(site.shell) == []
        assert processes(site.record) == idle
        assert state(site.record) == before


def test_the_fence_of_a_far_relay_goes_with_a_unit_whose_file_was_removed(tmp_path):
    """Only that file knew how to take it away."""
    with make_site(tmp_path, systemd=True, far=True) as site:
        before = state(site.far.record)
        spec = RelaySpec(
            name="relay2", run=RUN, address=FAR_ADDRESS, sources=(SOURCE,), targets=(TARGET,),
            accept_proxy_from=(NEAR_ADDRESS,),
        )  # fmt: skip
        site.far.install(spec)
        tamper(site.far, "removed, and systemd knows it")
        site.restore()
        assert forced(site).left == []
        assert list_leftovers(site.far.shell) == []
        assert state(site.far.record) == before
        assert FAR in site.boxes


def test_a_relay_without_systemd_that_was_killed_leaves_nothing(tmp_path):
    """Its supervisor too: nobody was there to clear up."""
    with make_site(tmp_path, systemd=False) as site:
        before, idle = state(site.record), processes(site.record)
        site.install()
        kill = 'for p in $(grep -l relay[d].py /proc/[0-9]*/cmdline); do p=${p%/cmdline}; [ "${p#/proc/}" = $$ ] || '
        site.shell.run(["sh", "-c", kill + 'kill -KILL "${p#/proc/}"; done; exit 0'])
        assert site.restore().left == []
        assert list_leftovers(site.shell) == []
        assert processes(site.record) == idle
        assert state(site.record) == before
