"""No secret leaves in what is sent to others, and no name where that is wished; the rest stays as it is."""

from __future__ import annotations

import json

import pytest

import told
from lrvmotion.journal import audit_log
from lrvmotion.redaction import HIDDEN, Redactor, configuration
from lrvmotion.report import run_history
from lrvmotion.workflows import support_archive

CANARY = "canary-9f2c71"


def test_a_secret_is_replaced_wherever_it_stands():
    """In a text, a key, a list, in the middle of a word."""
    given = {"text": f"said {CANARY}!", CANARY: [CANARY, 5, None, True], "within": f"x{CANARY}y"}
    assert CANARY not in json.dumps(Redactor([CANARY]).value(given))
    assert Redactor([CANARY]).value(given)[HIDDEN] == [HIDDEN, 5, None, True]


def test_of_an_address_on_the_web_the_server_is_left():
    """A webhook's path and a login in front of it are as good as passwords."""
    text = "POST https://bob:hunter22@hooks.example.com/services/T0/abcdef?x=1 failed"
    assert Redactor([]).text(text) == "POST https://hooks.example.com/ failed"


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"source": {"password": CANARY}}, {"source": {"password": HIDDEN}}),
        ({"source": {"password_file": "/run/pw"}}, {"source": {"password_file": "/run/pw"}}),
        ({"notify": {"api_token": CANARY}}, {"notify": {"api_token": HIDDEN}}),
        ({"hooks": {"before_vm": f"notify --key {CANARY}"}}, {"hooks": {"before_vm": "notify (2 more)"}}),
        ({"hooks": {"before_vm": ["notify", CANARY]}}, {"hooks": {"before_vm": "notify (1 more)"}}),
        ({"hooks": {"headers": {"X": CANARY}, "timeout_s": 5}}, None),
        ({"hooks": {"webhook": f"https://h.example.com/{CANARY}"}}, {"hooks": {"webhook": HIDDEN}}),
        ({"webhook": {"headers": {"Authorization": CANARY}}}, None),
    ],
)
def test_of_a_configuration_what_may_be_secret_is_left_out(given, left):
    """By the name of its key; of a hook all but the program."""
    made = configuration(given)
    assert CANARY not in json.dumps(made)
    assert left is None or made == left


def test_the_same_name_is_the_same_word_everywhere():
    """So that who helps can still follow a VM."""
    redactor = Redactor([], [("vm", "web-1"), ("vm", "web"), ("host", "esx1.example.com")])
    text = "web-1 and web on esx1.example.com (10.1.2.3, fd00:1:2:3:4:5:6:7, 00:50:56:aa:bb:cc); web-10 is 10.1.2.3"
    assert redactor.text(text) == "vm-1 and vm-2 on host-1 (ip-1, ip-2, mac-1); web-10 is ip-1"
    assert redactor.text("10.1.2.3, 10.9.9.9") == "ip-1, ip-3"


def test_without_the_wish_names_and_addresses_stay():
    """Who helps sees more."""
    assert Redactor([CANARY]).text("web-1 on 10.1.2.3") == "web-1 on 10.1.2.3"


def test_pins_say_whose_they_are_and_go_too():
    """A certificate names its vCenter, encoded."""
    assert Redactor([], []).value({"pem": "MII…", "sha256": None}) == {"pem": HIDDEN, "sha256": None}
    assert Redactor([]).value({"pem": "MII…"}) == {"pem": "MII…"}


def test_an_anonymous_archive_names_nobody(tmp_path):
    """No VM, host, user or server that the run's records name stands in any of its files."""
    state = tmp_path
    told.run(state, told.usual())
    records, kept = told.records(state), told.kept(state)
    one = run_history.tell(records, told.RUN, kept)
    given = {"source": {"vcenter": "vc-a", "username": "ops@a"}, "wave": [{"vms": ["secret-project"]}]}
    redactor = Redactor([], support_archive.names(records, one, given))
    entries = audit_log.entries(records, (), told.RUN)
    files = support_archive.files(one, records, entries, kept, {}, given, redactor, anonymous=True)
    whole = "\n".join(files.values())
    for name in ("vc-a", "ada", "desk", "ops", "tier/gold", "secret-project"):
        assert name not in whole, name
    for kind in ('"vm": "vm-1"', "source/host-1"):
        assert kind in whole
