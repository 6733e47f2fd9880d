"""The relay host's disk: read-only parts, full ones, noexec; Python and nft that do not work."""

from __future__ import annotations

import pytest

from lrvmotion.checks.relay_hosts import usable
from lrvmotion.findings import errors
from lrvmotion.lab.box.state import state
from lrvmotion.relay.facts import facts
from netns.box_packages import run
from netns.box_world import requires_box
from netns.relaybox_site import NEAR_ADDRESS, make_site
from netns.test_relaybox_firewall import arrives

pytestmark = requires_box

TMPFS = "mount -t tmpfs -o {} tmpfs {}"
HALF = """#!/bin/sh
exec /usr/bin/python3 -c "import sys; sys.modules['ipaddress'] = None
exec(sys.argv[1])" "$2"
"""
NO_NFT = """#!/bin/sh
echo 'no netlink' >&2
exit 1
"""
WRITE = "cat > {0} <<'END'\n{1}END\nchmod 755 {0}\n"
# What is done to the host, how it is undone, the finding, and what it names.
CASES = {
    "read-only /usr/local": (TMPFS.format("ro", "/usr/local"), "umount /usr/local", "relay-read-only", "/usr/local is"),
    "read-only /etc/sysctl.d": (
        TMPFS.format("ro", "/etc/sysctl.d"), "umount /etc/sysctl.d", "relay-read-only",
        "mount -o remount,rw /etc/sysctl.d",
    ),
    "full": (
        TMPFS.format("size=512k", "/usr/local/lib"), "umount /usr/local/lib", "relay-full",
        "are free on /usr/local/lib",
    ),
    "no more files": (
        TMPFS.format("nr_inodes=8", "/usr/local/lib"), "umount /usr/local/lib", "relay-full", "more files fit",
    ),
    "noexec": (
        TMPFS.format("noexec", "/usr/local/lib"), "umount /usr/local/lib", "relay-noexec",
        "mount -o remount,exec /usr/local/lib",
    ),
    "a blank in its mount": (
        "mkdir '/mnt/a b' && " + TMPFS.format("size=512k", "'/mnt/a b'") + " && mount --bind '/mnt/a b' /usr/local/lib",
        "umount /usr/local/lib '/mnt/a b'; rmdir '/mnt/a b'", "relay-full", "are free on",
    ),
    "half a Python": (
        WRITE.format("/usr/local/bin/python3", HALF), "rm /usr/local/bin/python3", "relay-python",
        "no module ipaddress",
    ),
    "no Python": (
        "for p in /usr/bin/python3* /usr/local/bin/python3*; do [ ! -L $p ] && [ ! -e $p ] || mv $p $p.away; done",
        "for p in /usr/bin/*.away /usr/local/bin/*.away; do [ ! -L $p ] && [ ! -e $p ] || mv $p ${p%.away}; done",
        "relay-python", "no Python 3.9",
    ),
    "nft that fails": (
        "mv /usr/sbin/nft /usr/sbin/nft.away\n" + WRITE.format("/usr/sbin/nft", NO_NFT),
        "mv /usr/sbin/nft.away /usr/sbin/nft", "relay-firewall", "no netlink",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with make_site(tmp_path_factory.mktemp("site"), systemd=False) as made:
        yield made


@pytest.mark.parametrize("case", CASES)
def test_trouble_of_the_host_is_found_before_anything_is_written(site, case):
    """The folder, the mount or the program is named, with what cures it; nothing is written by looking."""
    done, undone, code, words = CASES[case]
    assert errors(usable(facts(site.shell), site.spec)) == []
    before = state(site.record)
    run(site.record, done)
    changed = state(site.record)
    found = errors(usable(facts(site.shell), site.spec))
    assert {finding.code for finding in found} == {code}
    assert any(words in f"{finding.summary} {finding.hint}" for finding in found), found
    assert state(site.record) == changed
    run(site.record, undone)
    assert errors(usable(facts(site.shell), site.spec)) == []
    assert state(site.record) == before


def test_noexec_of_tmp_and_run_is_no_matter(site):
    """The relay is installed, carries and is taken away where nothing in /tmp and /run may be executed."""
    run(site.record, "mount -o remount,noexec /tmp && mount -o remount,noexec /run")
    before = state(site.record)
    assert errors(usable(facts(site.shell), site.spec)) == []
    site.install()
    assert arrives(site) == NEAR_ADDRESS
    assert site.restore().left == []
    assert state(site.record) == before
