"""The configuration: every mistake at once, and rates and pools as people write them."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrvmotion.config import rate_schedule, schema
from lrvmotion.config.address_pool import parse_pool, take
from lrvmotion.errors import RefusedError, UsageError
from lrvmotion.journal.records import Connection
from lrvmotion.model.target_id import ConnectionId, TargetId
from lrvmotion.workflows.connections import all_known, records

EXAMPLES = Path(__file__).parents[3] / "examples"
SITE = {"vcenter": "v", "username": "u"}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.name)
def test_every_example_is_valid(path):
    """What we hand out works as it is."""
    assert schema.parse(tomllib.loads(path.read_text())).source.vcenter


def test_all_mistakes_are_named_at_once_with_key_and_reason():
    """Nobody wants to find five mistakes in five runs."""
    content = {
        "source": {"vcenter": "v", "usrname": "u"},
        "target": {**SITE, "port": 70000, "sha256": "12"},
        "relay": {"source": [{"name": "a b", "host": "h", "address": "10.0.0.999"}], "limit": "fast"},
        "steer": "magic",
    }
    with pytest.raises(UsageError) as caught:
        schema.parse(content, where="x.toml")
    text = caught.value.message
    for key in (
        "source.username: is missing",
        "source.usrname: unknown key; did you mean username?",
        "target.port:",
        "target.sha256: a SHA-256 fingerprint has 64",
        "relay.source[0].name:",
        "relay.source[0].address:",
        "relay.limit: 'fast' is not a rate",
        "steer:",
    ):
        assert key in text, text
    assert text.startswith("x.toml: 8 mistakes")


def test_what_is_pinned_now_wins_over_what_a_run_recorded():
    """For the same address: a renewed certificate or host key is pinned there, and the run's settings are restored."""
    box = {"name": "r", "host": "r.example", "address": "10.0.0.1", "host_key": "ssh-ed25519 new"}
    source, target = ({"vcenter": f"{site}.example", "username": "u"} for site in ("a", "b"))
    known = schema.parse({"source": {**source, "sha256": "ab" * 32}, "target": target, "relay": {"source": [box]}})
    old = {"pem": "OLD", "sha256": "cd" * 32, "username": "then", "instance_uuid": "1"}
    box_then = {"host_key": "ssh-ed25519 old", "known_hosts": ("kh",), "username": "then"}
    recorded = {
        ConnectionId(name): Connection(name=ConnectionId(name), host=host, port=port, **more)
        for name, host, port, more in (
            ("source", "a.example", 443, old),
            ("target", "b.example", 443, old),
            ("abc:source", "a.example", 8443, old),
            ("relay/r", "r.example", 22, box_then),
        )
    }
    every = all_known(known, recorded)
    assert every["source"] == replace(recorded["source"], pem=None, sha256="ab" * 32)
    assert every["target"] == recorded["target"], "nothing is pinned for it now"
    assert every["abc:source"] == recorded["abc:source"], "another address"
    assert (every["relay/r"].host_key, every["relay/r"].known_hosts) == ("ssh-ed25519 new", ())
    assert all_known(None, recorded) == recorded


@pytest.mark.parametrize(
    ("names", "variable", "owner"),
    [
        (["source"], "LRVMOTION_SOURCE_PASSWORD", "the source vCenter"),
        (["Target"], "LRVMOTION_TARGET_PASSWORD", "the target vCenter"),
        (["relay-a", "relay.a"], "LRVMOTION_RELAY_A_PASSWORD", "relay host relay-a"),
        (["relay-a", "RELAY_A"], "LRVMOTION_RELAY_A_PASSWORD", "relay host relay-a"),
    ],
)
@pytest.mark.parametrize("far", [False, True])
def test_no_relay_host_takes_the_password_of_another(names, variable, owner, far):
    """Each has an environment variable of its own, or the configuration is refused by name."""
    boxes = [{"name": name, "host": f"h{n}", "address": f"10.0.0.{n + 1}"} for n, name in enumerate(names)]
    relay = {"source": boxes[:-1], "target": boxes[-1]} if far else {"source": boxes}
    with pytest.raises(UsageError) as caught:
        schema.parse({"source": SITE, "target": SITE, "relay": relay})
    assert f"relay host {names[-1]} would take its password from {variable}, which is that of {owner}" in str(
        caught.value
    )


def test_files_are_relative_to_the_configuration(tmp_path):
    """A configuration can be moved with its files."""
    (tmp_path / "c.toml").write_text(
        '[source]\nvcenter = "a"\nusername = "u"\npassword_file = "pw"\n[target]\nvcenter = "b"\nusername = "u"\n'
    )
    assert schema.load(tmp_path / "c.toml").source.password_file == tmp_path / "pw"


@pytest.mark.parametrize(
    ("written", "names"), [('"kh"', ["kh"]), ('["kh", "/etc/ssh/ssh_known_hosts"]', ["kh", "/etc/ssh/ssh_known_hosts"])]
)
def test_known_hosts_is_one_file_or_several(tmp_path, written, names):
    """As in OpenSSH; relative to the configuration, and so in the journal's connection record."""
    (tmp_path / "c.toml").write_text(
        '[source]\nvcenter = "a"\nusername = "u"\n[target]\nvcenter = "b"\nusername = "u"\n'
        f'[[relay.source]]\nname = "r"\nhost = "h"\naddress = "10.0.0.1"\nknown_hosts = {written}\n'
    )
    loaded = schema.load(tmp_path / "c.toml")
    files = [tmp_path / name for name in names]
    assert list(loaded.relay.source[0].known_hosts) == files
    assert records(loaded)["relay/r"].known_hosts == tuple(str(file) for file in files)


@pytest.mark.parametrize(
    ("text", "bits"),
    [("2G", 2_000_000_000), ("500M", 500_000_000), ("1.5g", 1_500_000_000), ("800k", 800_000), (42, 42)],
)
def test_rates_are_bits_a_second_in_decimal_units(text, bits):
    """As circuits are sold."""
    assert rate_schedule.rate(text) == bits


@pytest.mark.parametrize("text", ["", "0", "-1", "2 GB", "G", True, None, 10**400, "9" * 400, "\u0665"])
def test_what_is_no_rate_is_refused(text):
    """Never read as something it does not say."""
    with pytest.raises(ValueError, match="rate"):
        rate_schedule.rate(text)


def test_a_pool_is_ranges_networks_and_single_addresses():
    """In the order given."""
    assert parse_pool(["10.0.0.5-10.0.0.7", "10.0.1.0/30", "10.0.2.1"]) == (
        "10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.1.1", "10.0.1.2", "10.0.2.1",
    )  # fmt: skip


@pytest.mark.parametrize(
    "entries", [["10.0.0.9-10.0.0.5"], ["10.0.0.1", "10.0.0.1"], ["10.0.0.0/8"], ["x"], ["10.0.0.1-::1"]]
)
def test_a_pool_that_means_nothing_is_refused(entries):
    """Empty, overlapping, endless or not addresses."""
    with pytest.raises(ValueError):
        parse_pool(entries)


@given(st.sets(st.integers(1, 50)), st.integers(0, 20))
def test_an_address_in_use_is_never_taken(used, count):
    """And a pool that is too small says how many are free."""
    pool = parse_pool(["10.0.0.1-10.0.0.50", "10.0.9.1-10.0.9.5"])
    taken = {f"10.0.0.{n}" for n in used}
    try:
        got = take(pool, count, taken, "10.0.0.9/24", TargetId("source/a"))
    except RefusedError as error:
        assert count > 50 - len(used)
        assert f"{50 - len(used)} free" in error.message
    else:
        assert len(set(got)) == count
        assert not set(got) & taken
        assert all(address.startswith("10.0.0.") for address in got)


@pytest.mark.parametrize(
    ("limit", "circuit", "cap"),
    [(None, None, None), ("2G", None, 2e9), (None, "1G", 9.5e8), ("2G", "1G", 9.5e8), ("500M", "1G", 5e8)],
)
def test_the_cap_is_the_limit_or_95_percent_of_the_circuit(limit, circuit, cap):
    """Whichever is lower; unset is no cap."""
    relay = {key: value for key, value in (("limit", limit), ("circuit_rate", circuit)) if value}
    assert schema.parse({"source": SITE, "target": SITE, "relay": relay}).relay.cap_bps == cap


def test_a_box_at_the_target_forwards_only_where_it_is_told_to():
    """By default it only serves to measure."""
    box = {"name": "far", "host": "h", "address": "10.99.0.1"}
    for forward, name in ((False, None), (True, "far")):
        relay = {"target": {**box, "forward": forward}}
        found = schema.parse({"source": SITE, "target": SITE, "relay": relay}).relay.far
        assert (found.name if found else None) == name


def test_relays_share_the_circuit():
    """Two relays at 95 % each would be twice the circuit; a limit is each one's own."""
    boxes = [{"name": name, "host": name, "address": f"10.88.0.{n}"} for n, name in enumerate("ab", 1)]
    relay = {"source": boxes, "circuit_rate": "1G"}
    assert schema.parse({"source": SITE, "target": SITE, "relay": relay}).relay.cap_bps == 475_000_000
    relay["limit"] = "100M"
    assert schema.parse({"source": SITE, "target": SITE, "relay": relay}).relay.cap_bps == 100_000_000


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name": "near"}, "name near"),
        ({"host": "10.0.0.1"}, "host 10.0.0.1 port 22"),
        ({"address": "10.88.0.1"}, "address 10.88.0.1"),
    ],
)
@pytest.mark.parametrize("forward", [False, True])
def test_two_entries_for_one_box_are_refused(changes, named, forward):
    """They would write over each other's files; what is the same is named."""
    near = {"name": "near", "host": "10.0.0.1", "address": "10.88.0.1"}
    other = {"name": "far", "host": "10.0.0.2", "address": "10.99.0.1", **changes}
    for relay in (
        {"source": [near], "target": {**other, "forward": forward}},
        {"source": [near, other]},
    ):
        with pytest.raises(UsageError, match=f"relay: two relay hosts have {named}: each needs its own"):
            schema.parse({"source": SITE, "target": SITE, "relay": relay})


@pytest.mark.parametrize(
    ("source", "target", "relay", "text"),
    [
        (["10.88.0.20-10.88.0.29"], ["10.88.0.25-10.88.0.40"], "10.88.0.1", "both have 10.88.0.25-10.88.0.29"),
        (
            ["10.88.0.1-10.88.0.9"],
            [],
            "10.88.0.1",
            "source.vmotion.addresses and relay host relay-a both have 10.88.0.1",
        ),
    ],
)
def test_pools_that_overlap_are_refused(source, target, relay, text):
    """An address can be one vmknic's or one box's only; the mistake names both places and the addresses."""
    content = {
        "source": {"vcenter": "a", "username": "u", "vmotion": {"addresses": source}},
        "target": {"vcenter": "b", "username": "u", "vmotion": {"addresses": target}},
        "relay": {"source": [{"name": "relay-a", "host": "r", "address": relay}]},
    }
    with pytest.raises(UsageError) as caught:
        schema.parse(content)
    assert text in caught.value.message


def test_a_host_s_own_pool_is_apart_from_its_site_s():
    """Both could be asked for the same address."""
    vmotion = {"addresses": ["10.88.0.20"], "hosts": {"esx-a1": {"addresses": ["10.88.0.20", "10.88.0.22"]}}}
    content = {
        "source": {"vcenter": "a", "username": "u", "vmotion": vmotion},
        "target": {"vcenter": "b", "username": "u"},
    }
    with pytest.raises(UsageError, match=r'source\.vmotion\.hosts\."esx-a1" both have 10\.88\.0\.20:'):
        schema.parse(content)


def test_a_pool_gives_no_address_that_a_host_cannot_have():
    """Not the network's, not the broadcast address; and a pool elsewhere says where it is."""
    assert take(["10.0.0.0", "10.0.0.255", "10.0.0.7"], 1, (), "10.0.0.9/24", TargetId("source/a")) == ["10.0.0.7"]
    with pytest.raises(RefusedError, match=r"its 3 addresses are in another network: 10\.9\.0\.1-10\.9\.0\.3"):
        take(parse_pool(["10.9.0.1-10.9.0.3"]), 1, (), "10.0.0.9/24", TargetId("source/a"))


def with_hooks(**hooks):
    return schema.parse({"source": SITE, "target": {**SITE, "vcenter": "w"}, "hooks": hooks}, folder=Path("/etc/lrv"))


def test_a_hook_is_a_string_or_a_list_of_words():
    """No shell is asked; a file is beside the configuration, a bare name is PATH's."""
    commands = with_hooks(before_vm="./fresh.sh --hours '2 4'", after_run=["logger", "a b"]).hooks.commands
    assert commands == {"before_vm": ("/etc/lrv/fresh.sh", "--hours", "2 4"), "after_run": ("logger", "a b")}


@pytest.mark.parametrize(
    "hooks",
    [
        {"before_vm": ""},
        {"before_vm": []},
        {"before_vm": 'a "b'},
        {"before_vm": 5},
        {"timeout_s": 0},
        {"during_vm": "x"},
    ],
    ids=str,
)
def test_what_is_no_hook_is_named(hooks):
    """By its key."""
    with pytest.raises(UsageError) as caught:
        with_hooks(**hooks)
    assert f"hooks.{next(iter(hooks))}: " in caught.value.message


@pytest.mark.parametrize("url", ["t0ken", "ftp://h/t0ken", "https://u:t0ken@h/", "https://h/a t0ken"])
def test_a_webhook_is_never_repeated(url):
    """It may hold a token: neither an error nor the configuration's own text shows it."""
    with pytest.raises(UsageError) as caught:
        with_hooks(webhook=url)
    assert "hooks.webhook: is not a URL" in caught.value.message
    assert "t0ken" not in caught.value.message
    assert "t0ken" not in repr(with_hooks(webhook="https://h/t0ken"))


def refused(tmp_path, text: str | bytes) -> list[str]:
    """Return the lines of the error that the configuration *text* ends in."""
    path = tmp_path / "c.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UsageError) as caught:
        schema.load(path)
    assert caught.value.hint
    assert "pydantic" not in caught.value.message
    return caught.value.message.replace(str(path), "c.toml").splitlines()


WRONG = '''\
mode = "natve"
[sorce]
vcenter = "a"

[target]
vcenter = "b"
username = "u"
sha265 = "12"
port = "https"
hosts = [
  "esx-1",  # a comment
  5,
]
vmotion.addresses = ["10.0.0.1-10.0.0.x"]
[target.vmotion.hosts."esx-1"]
adresses = []

[[relay.source]]
name = "relay-a"
host = "r"
address = "10.0.0.1"
password_file = 5
[[relay.source]]
name = "b"
host = "r:22"
adress = "10.0.0.2"

[limits]
loss = 2
rtt_ms = nan
per_host = "many"
max_attempts = 0
probes = true

[hooks]
webhook = "s3cret"
passwort = "s3cret"
text = """
[not.a.table]
"""
'''


ALONE = "give its name or IP address alone, and its port as port"
ALL_HOOKS = (
    "there are: after_run, after_vm, after_wave, before_run, before_vm, before_wave, metrics, timeout_s and 1 more"
)


def test_every_mistake_has_its_line_its_value_and_what_was_meant(tmp_path):
    """Also in the second table of an array, in a table by name, and behind values of several lines."""
    text = refused(tmp_path, WRONG)
    assert text[0] == "c.toml: 20 mistakes"
    assert text[1:] == [
        "  source: is missing",
        "  line 1: mode: 'natve' is not known; did you mean native?",
        "  line 2: sorce: unknown key; did you mean source?",
        "  line 8: target.sha265: unknown key; did you mean sha256?",
        "  line 9: target.port: 'https' is not a whole number",
        "  line 10: target.hosts[1]: 5 is not text: put it in quotes",
        "  line 14: target.vmotion.addresses: '10.0.0.1-10.0.0.x' is not an address, a range or a network",
        "  line 16: target.vmotion.hosts.esx-1.adresses: unknown key; did you mean addresses?",
        "  line 22: relay.source[0].password_file: 5 is not a path: put it in quotes",
        "  line 23: relay.source[1].address: is missing",
        f"  line 25: relay.source[1].host: 'r:22' is not a host: {ALONE}",
        "  line 26: relay.source[1].adress: unknown key; did you mean address?",
        "  line 29: limits.loss: 2 is too large: it must be at most 1",
        "  line 30: limits.rtt_ms: nan is not a finite number",
        "  line 31: limits.per_host: 'many' is not a whole number",
        "  line 32: limits.max_attempts: 0 is too small: it must be at least 1",
        "  line 33: limits.probes: true cannot be used here",
        "  line 36: hooks.webhook: is not a URL such as https://chat.example.com/hooks/…",
        f"  line 37: hooks.passwort: unknown key; {ALL_HOOKS}",
        f"  line 38: hooks.text: unknown key; {ALL_HOOKS}",
    ]  # fmt: skip
    assert not any("s3cret" in line for line in text)


def test_a_value_of_a_secret_s_key_is_never_repeated(tmp_path):
    """Whatever its type."""
    (told,) = refused(tmp_path, f"{SITES_TEXT}[hooks]\nwebhook = ['s3cret']\n")[1:]
    assert told == "  line 8: hooks.webhook: the value is not text: put it in quotes"


SITES_TEXT = '[source]\nvcenter = "a"\nusername = "u"\n[target]\nvcenter = "b"\nusername = "u"\n'


def test_a_configuration_with_a_byte_order_mark_is_read(tmp_path):
    """As editors of Windows write it, with their line ends."""
    (tmp_path / "c.toml").write_bytes(b"\xef\xbb\xbf" + SITES_TEXT.replace("\n", "\r\n").encode())
    assert schema.load(tmp_path / "c.toml").source.vcenter == "a"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# \u00fc\n" + SITES_TEXT[:9], "c.toml: 3 mistakes"),
        (SITES_TEXT.encode("utf-16"), "c.toml: line 1 is not UTF-8 but UTF-16"),
        (SITES_TEXT.encode() + b"# M\xfcller\n", "c.toml: line 7 is not UTF-8"),
        ("[source]\nvcenter = vc-a\n", "c.toml: line 2, column 11: not valid TOML: invalid value"),
        ("[source]\nvcenter 5\n", "c.toml: line 2, column 9: not valid TOML: expected '=' after a key"),
        ("[source]\n[source]\n", "c.toml: line 2, column 8: not valid TOML: cannot declare ('source',) twice"),
        ("a = " + "[" * 50_000, "c.toml: not valid TOML: it is nested too deeply"),
        ("a = " + "9" * 50_000, "c.toml: "),
        ("\0", "c.toml: line 1, column 1: not valid TOML"),
        ("", "c.toml: 2 mistakes"),
    ],
    ids=range(10),
)
def test_what_is_no_toml_is_told_with_its_line(tmp_path, text, told):
    """Encoding, syntax, nesting: one sentence."""
    assert refused(tmp_path, text)[0].startswith(told)


@pytest.mark.parametrize(
    "key", ["source.password_file", "source.certificate", "state_dir", "relay.key_file", "hooks.metrics"]
)
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("5", "5 is not a path"),
        ("[]", "[] is not a path"),
        ("{ a = 1 }", "is not a path"),
        ('""', "is not a path: it is empty"),
        ('"~nosuchuser/x"', "the home folder is not known"),
        (r'"a\u0000b"', "it has a NUL character"),
    ],
)  # fmt: skip
def test_what_is_no_path_is_named_by_its_key(tmp_path, key, value, told):
    """Each key of a file."""
    table, _, name = key.rpartition(".")
    sites = SITES_TEXT.replace("[target]", f"{name} = {value}\n[target]") if table == "source" else SITES_TEXT
    extra = {
        "": f"{name} = {value}\n",
        "relay": f'[[relay.source]]\nname = "r"\nhost = "r"\naddress = "10.0.0.1"\n{name} = {value}\n',
        "hooks": f"[hooks]\n{name} = {value}\n",
        "source": "",
    }[table]
    lines = refused(tmp_path, extra + sites if table == "" else sites + extra)
    assert len(lines) == 2
    assert f"{key.replace('relay', 'relay.source[0]')}: " in lines[1]
    assert told in lines[1]


@pytest.mark.parametrize("host", ["fd00::10", "[fd00::10]", "fe80::1%lan0"])
def test_an_ipv6_address_is_a_host_with_and_without_brackets(tmp_path, host):
    """As a URL has it, and as everything else does."""
    (tmp_path / "c.toml").write_text(SITES_TEXT.replace('vcenter = "a"', f'vcenter = "{host}"'))
    assert schema.load(tmp_path / "c.toml").source.vcenter == host.strip("[]")


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "a b",
        "a..b",
        "x" * 64,
        "https://vc/ui",
        "vc:8443",
        "u@vc",
        r"a\u0000b",
        r"vc\n",
        "[::1]:443",
        "[vc]:443",
        "a:b:c",
    ],
)
@pytest.mark.parametrize("key", ["vcenter", "host"])
def test_what_cannot_be_a_host_is_refused(tmp_path, key, host):
    """Before anything looks it up, which would end in a traceback."""
    text = SITES_TEXT.replace('vcenter = "a"', f'vcenter = "{host}"') if key == "vcenter" else SITES_TEXT
    text += f'[[relay.source]]\nname = "r"\nhost = "{host if key == "host" else "r"}"\naddress = "10.0.0.1"\n'
    lines = refused(tmp_path, text)
    assert len(lines) == 2
    assert f"{key}: " in lines[1]
    assert "is not a host" in lines[1]


@pytest.mark.parametrize(
    "host", ["vc", "vc-a.example.com", "10.0.0.1", "fe80::1%eth0", "2001:db8::7", "b\u00fccher.example"]
)
def test_names_and_addresses_are_hosts(host):
    """In either address family, and with letters of other alphabets."""
    assert schema.parse({"source": {**SITE, "vcenter": host}, "target": SITE}).source.vcenter == host


@pytest.mark.parametrize("hook", ["~nosuchuser/x", "a\0b", ["x", "a\0b"]])
def test_a_hook_that_cannot_be_run_is_named(hook):
    """Its path is expanded when it is read, not when it is called."""
    with pytest.raises(UsageError, match=r"hooks\.before_vm: "):
        with_hooks(before_vm=hook)


def test_the_file_that_explains_every_key_is_named_where_it_is():
    """Somebody who installed the program has no clone to look into: the wheel brings the file."""
    with pytest.raises(UsageError) as caught:
        schema.parse({"no_such_key": 1})
    assert caught.value.hint is not None
    assert Path(caught.value.hint.removesuffix(" explains every key")).read_text().startswith("#")
    wheel = tomllib.loads((EXAMPLES.parent / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    assert wheel["force-include"] == {"examples": "lrvmotion/examples"}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("limits.tries = 3", "limits.tries: is now called max_attempts"),
        ("limits.at_once = 3", "limits.at_once: is now called max_concurrent"),
        ("limits.tools_s = 3", "limits.tools_s: is now called guest_wait_s"),
        ('after = {"a" = ["b"]}', "after: is now called depends_on"),
        ('relay.circuit = "1G"', "relay.circuit: is now called circuit_rate"),
        ('wave = [{name = "a", vms = ["b"], after = []}]', "wave[0].after: is now called depends_on"),
    ],
)
def test_a_key_of_an_old_name_is_told_its_new_one(written, said):
    """Whoever tried a version before 0.1.0 finds it in the error."""
    with pytest.raises(UsageError) as caught:
        schema.parse({"source": SITE, "target": SITE} | tomllib.loads(written))
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("https://vc-b.example", "https://vc-b.example/sdk"),
        ("https://vc-b.example:8443/sdk/", "https://vc-b.example:8443/sdk"),
        ("https://[fd00::9]/sdk", "https://[fd00::9]/sdk"),
    ],
)
def test_the_url_of_a_vcenters_api_may_be_written_short(tmp_path, said, read):
    """Its path is the same for every vCenter."""
    path = tmp_path / "c.toml"
    path.write_text(
        schema.example_file()
        .with_name("minimal.toml")
        .read_text()
        .replace("[target]", f'[target]\nservice_url = "{said}"')
    )
    assert schema.load(path).target.service_url == read


@pytest.mark.parametrize(
    "said", ["vc-b.example", "http://vc-b.example/sdk", "https://vc-b/ui", "https://u@vc-b/sdk", ""]
)
def test_what_is_no_url_of_an_api_is_refused(tmp_path, said):
    """With one that is."""
    text = (
        schema.example_file()
        .with_name("minimal.toml")
        .read_text()
        .replace("[target]", f'[target]\nservice_url = "{said}"')
    )
    told = "\n".join(refused(tmp_path, text))
    assert "target.service_url: " in told
    assert "https://vcsa-b.example.com/sdk" in told
