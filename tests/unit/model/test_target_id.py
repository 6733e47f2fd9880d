"""Ids of targets, connections and settings: what is written in a journal is what they are read from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrvmotion.model.setting import ABSENT, GOVERNOR, MAINTENANCE, SETTING_KINDS, SettingKey, Value, document, string
from lrvmotion.model.target_id import ConnectionId, TargetId, site_object, without_site

NAMES = st.text(min_size=1) | st.sampled_from(["a/b", "/", "relay/x", "source/", "r1:x", "a\n", "vMotion / DMZ", " x "])
RUNS = st.from_regex(r"[a-z0-9]{1,6}", fullmatch=True)
CONNECTIONS = st.sampled_from(["source", "target", "relay/relay-a"])


@given(st.sampled_from(["source", "target"]), NAMES)
def test_a_host_is_read_back_by_its_site_and_name(site, name):
    """Whatever a standalone host was added as: slashes, line breaks, what looks like another id."""
    made = TargetId.host(site, name)
    read = TargetId(str(made))
    assert read == made == f"{site}/{name}"
    assert (read.site, read.name, read.run, read.is_relay) == (site, name, None, False)
    assert read.connection == site


@given(NAMES)
def test_a_relay_host_is_read_back_by_its_name(name):
    """Its connection is its own."""
    made = TargetId.relay(name)
    read = TargetId(str(made))
    assert read == made == f"relay/{name}"
    assert (read.site, read.name, read.run, read.is_relay) == (None, name, None, True)
    assert read.connection == made


@given(NAMES)
def test_a_relay_host_of_an_older_journal_is_read_by_its_name_of_now(name):
    """It was "box/NAME"; a host of a vCenter that is called so stays what it is."""
    assert TargetId(f"box/{name}") == TargetId.relay(name)
    assert TargetId(f"abc234:box/{name}") == f"abc234:relay/{name}"
    assert ConnectionId(f"box/{name}").is_relay
    assert TargetId.host("source", f"box/{name}").name == f"box/{name}"


@given(RUNS, CONNECTIONS, NAMES)
def test_what_only_one_run_leads_to_carries_its_id(run, plain, name):
    """And is the same machine over another connection."""
    there = ConnectionId(plain).of_run(run)
    assert there == f"{run}:{plain}"
    assert (there.run, there.plain, there.is_relay) == (run, plain, plain.startswith("relay/"))
    assert (ConnectionId(plain).run, ConnectionId(plain).plain) == (None, plain)
    if not there.is_relay:
        made = TargetId.host(there, name)
        assert made == f"{run}:{plain}/{name}"
        assert (made.run, made.site, made.name, made.connection) == (run, plain, name, there)
        assert made.over(ConnectionId("source")) == f"source/{name}"
    else:
        assert TargetId(there).connection == there
        assert TargetId(there).over(ConnectionId("relay/relay-b")) == "relay/relay-b"


@given(st.sampled_from(sorted(SETTING_KINDS)), NAMES)
def test_a_setting_is_read_back_by_its_kind_and_name(kind, name):
    """A port group has any name, a file begins with a slash."""
    made = SettingKey.of(kind, name)
    read = SettingKey(str(made))
    assert read == made == f"{kind}/{name}"
    assert (read.kind, read.name) == (SETTING_KINDS[kind], name)


@given(st.text())
def test_any_key_is_read(text):
    """A newer version's kind is named as it is written, and nothing is believed of it."""
    key = SettingKey(text)
    assert key == text
    assert key.words or not text.strip()
    if key.kind.name not in SETTING_KINDS:
        assert (key.kind.owner, key.kind.steers, key.kind.kernel_only) == (None, False, False)
        assert key.kind.takes(ABSENT)
        assert not key.kind.takes(string("x"))


@pytest.mark.parametrize("text", ["", "a", "source/", "box", "relay/", "vm/web1", "R1:source/a", ":source/a", "/"])
def test_what_names_no_target_is_refused(text):
    """An id is one from the moment that it is made."""
    with pytest.raises(ValueError, match="names no target"):
        TargetId(text)


def test_a_vcenter_is_a_target_itself():
    """Of what it keeps of its VMs; a host is none, a relay host is none."""
    found = TargetId.vcenter(ConnectionId("r1:source"))
    assert (found.is_vcenter, found.connection, found.site, found.name) == (True, "r1:source", "source", "")
    assert found.over(ConnectionId("target")) == "target"
    assert not any(TargetId(text).is_vcenter for text in ("source/esx1", "relay/r1"))
    key = SettingKey.of("drive", "5000/3000/web/1: CD/DVD drive 1")
    assert (key.vm, key.device, key.words) == ("5000", "3000", "web/1: CD/DVD drive 1")


@pytest.mark.parametrize("text", ["", "a", "source/a", "sources", "relay/", "r1:", "r1/source"])
def test_what_names_no_connection_is_refused(text):
    """A host is reached over its vCenter's."""
    with pytest.raises(ValueError, match="names no connection"):
        ConnectionId(text)


def test_ids_are_text_in_json_and_sentences():
    """Journal, plan file and NDJSON hold the strings, without a form of their own."""
    target, key = TargetId.host("source", "esx-a1"), SettingKey.of("option", "Migrate.Enabled")
    assert json.dumps({"target": target, "key": key}) == '{"target": "source/esx-a1", "key": "option/Migrate.Enabled"}'
    assert f"{target}: {key}" == "source/esx-a1: option/Migrate.Enabled"
    assert {target: 1}["source/esx-a1"] == 1
    assert site_object("target", "network LAN") == "target/network LAN"
    assert without_site("source/esx-a1 10.88.0.9") == "esx-a1 10.88.0.9"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("option/Migrate.Enabled", "Migrate.Enabled"),
        ("portgroup/LAN / DMZ", "port group LAN / DMZ"),
        ("vmknic/10.88.0.20", "vmknic 10.88.0.20"),
        ("vmotion-service/10.88.0.20", "vMotion service on 10.88.0.20"),
        ("gateway/10.88.0.20", "gateway of 10.88.0.20"),
        ("route/vmotion/10.99.0.9/32", "route 10.99.0.9/32 (vmotion)"),
        ("sysctl/net.ipv4.ip_forward", "sysctl net.ipv4.ip_forward"),
        ("file//etc/x", "file /etc/x"),
        ("unit/x.service", "unit x.service"),
        ("process/abc234", "process abc234"),
        ("redirect/lrvmotion_abc234", "redirect table lrvmotion_abc234"),
        ("firewall/nft/ip filter x", "firewall rule (nft) ip filter x"),
        ("governor", "governor"),
        ("maintenance", "maintenance mode"),
        ("newer/{name}", "newer {name}"),
        ("{newer}", "{newer}"),
    ],
)
def test_every_kind_has_words(key, said):
    """As an administrator would say them."""
    assert SettingKey(key).words == said


def test_the_table_says_what_the_verbs_go_by():
    """Routes are restored before all else; what only the kernel has is set again after a reboot of the relay host."""
    assert {name for name, kind in SETTING_KINDS.items() if kind.steers} == {"route", "gateway"}
    assert {name for name, kind in SETTING_KINDS.items() if kind.kernel_only} == {"sysctl", "governor"}
    assert all((kind.privilege is None) == (kind.owner == "relay") for kind in SETTING_KINDS.values())
    assert (MAINTENANCE.kind.owner, GOVERNOR.kind.owner) == ("host", "relay")
    assert SETTING_KINDS["vmknic"].takes(document(mtu=9000))
    assert SETTING_KINDS["vmknic"].takes(ABSENT)
    assert not SETTING_KINDS["vmknic"].takes(Value("long", 1))


def test_the_page_lists_every_kind_of_setting():
    """Whoever adds one says what it is and where it is read and written."""
    page = (Path(__file__).parents[3] / "docs" / "architecture.md").read_text()
    assert [name for name in SETTING_KINDS if f"`{name}/" not in page and f"`{name}`" not in page] == []
