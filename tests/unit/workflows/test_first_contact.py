"""First contact: nothing is trusted that nobody expected or accepted, and a box's address is never guessed."""

from __future__ import annotations

import shlex

import pytest

from fakes import host, inventory
from lrvmotion.errors import TrustError, UsageError
from lrvmotion.workflows.first_contact import Fingerprint, choose_address, on_vmotion, settle


def shown(who: str, *, pin: str, expected: str | None = None) -> Fingerprint:
    return Fingerprint(
        who=who, what="certificate", where=f"{who} vCenter {who}.lab:443", pin=pin,
        prints=(("SHA-256", pin.upper()), ("SHA-1", f"{pin}-sha1")), option=f"--{who}-sha256", expected=expected,
    )  # fmt: skip


def test_only_what_nobody_expected_is_asked_for():
    """Each once."""
    asked = []

    def accept(one: Fingerprint) -> bool:
        asked.append(one.who)
        return True

    settle([shown("source", pin="a"), shown("target", pin="b", expected="b")], accept)
    assert asked == ["source"]


def test_what_is_not_as_expected_is_not_asked_for():
    """A person at a terminal would say yes too easily."""
    with pytest.raises(TrustError, match="not what was expected: c"):
        settle([shown("target", pin="b", expected="c")], lambda one: True)


def test_a_no_ends_it():
    """Whatever else was accepted."""
    with pytest.raises(TrustError, match=r"certificate of target vCenter target\.lab:443 was not accepted"):
        settle([shown("source", pin="a"), shown("target", pin="b")], lambda one: one.who == "source")


def test_where_nobody_can_be_asked_all_of_it_is_named_at_once():
    """Each fingerprint on a line of its own, and so each option that would accept it, as a shell takes them."""
    with pytest.raises(TrustError) as caught:
        settle([shown("source", pin="a"), shown("target", pin="b")], None)
    rows = [row.strip() for row in caught.value.message.splitlines()]
    assert {"SHA-256 A", "SHA-1 a-sha1", "SHA-256 B", "SHA-1 b-sha1"} <= set(rows)
    _, *options = (caught.value.hint or "").splitlines()
    assert shlex.split("".join(option.removesuffix("\\") for option in options)) == [
        "--source-sha256",
        "a",
        "--target-sha256",
        "b",
    ]


def test_a_box_s_address_is_the_one_on_a_vmotion_network():
    """Neither its management address nor loopback."""
    there = inventory("source", (host("a1", "10.88.0.9"),))
    assert on_vmotion(there, ["127.0.0.1", "192.168.1.7", "10.88.0.1", "fe80::1"]) == ["10.88.0.1"]


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ([], "no address on the vMotion network"),
        (["10.88.0.1", "10.88.0.2"], "several addresses.*10.88.0.1, 10.88.0.2"),
    ],
)
def test_none_or_several_addresses_are_a_persons_to_choose(found, text):
    """Asked for on a terminal, an option elsewhere."""
    assert choose_address("relay", "relay-a", found, lambda name, offered: "10.88.0.9") == "10.88.0.9"
    with pytest.raises(UsageError, match=text) as caught:
        choose_address("relay", "relay-a", found, None)
    assert "--relay-address" in (caught.value.hint or "")
