"""known_hosts files as data: what OpenSSH takes is taken, what it passes over is passed over and named."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrvmotion.ssh.known_hosts import canonical, parse


def key(kind: str, *fields: bytes) -> str:
    blob = b"".join(struct.pack(">I", len(field)) + field for field in (kind.encode(), *fields))
    return f"{kind} {base64.b64encode(blob).decode()}"


A, B, C = (key("ssh-ed25519", bytes([letter]) * 32) for letter in b"abc")
RSA = key("ssh-rsa", b"\x01\x00\x01", b"\x00" + b"n" * 256)
CUT = base64.b64encode(base64.b64decode(A.split()[1])[:-5]).decode()


def hashed(name: str, salt: bytes = b"s" * 20) -> str:
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def trusted(text: str | bytes, host: str = "relay-a.example.com", port: int = 22) -> list[tuple[str | None, str]]:
    content = text.encode() if isinstance(text, str) else text
    return [(entry.marker, entry.key) for entry in parse(content).of(host, port)]


@pytest.mark.parametrize(
    ("hosts", "found"),
    [
        ("relay-a.example.com", True),
        ("RELAY-A.Example.Com", True),
        ("relay-b.example.com", False),
        ("relay-b,relay-a.example.com,10.0.0.1", True),
        ("*.example.com", True),
        ("*", True),
        ("relay-?.example.com", True),
        ("relay-??.example.com", False),
        ("relay-a*", True),
        ("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", False),
        ("*.example.com,!relay-a.example.com", False),
        ("!relay-a.example.com,*.example.com", False),
        ("!relay-b.example.com,*.example.com", True),
        ("!relay-b.example.com", False),
        ("[relay-a.example.com]:22", False),
        ("[relay-a.example.com]:2222", False),
        ("relay-a.example.co[m]", False),
        ("", False),
        (",", False),
        (hashed("relay-a.example.com"), True),
        (hashed("relay-b.example.com"), False),
        (hashed("RELAY-A.example.com"), False),
    ],
)
def test_which_hosts_a_line_speaks_of(hosts, found):
    """Lists, wildcards, negation, capitals, hashes; brackets are letters, not a set of letters."""
    text = f"{hosts} {A}" if hosts else f"  {A}"
    assert trusted(text, "Relay-A.example.com") == ([(None, A)] if found else [])


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("[relay-a]:2222", True),
        ("[relay-a]:2223", False),
        ("[relay-a]:*", True),
        ("[*]:2222", True),
        ("*", True),
        ("relay-a", True),
        (hashed("[relay-a]:2222"), True),
        (hashed("relay-a"), True),
        ("[relay-a]:22", False),
    ],
)
def test_another_port_than_22(line, found):
    """It has lines of its own, in brackets; without one those of the host count."""
    assert trusted(f"{line} {A}", "relay-a", 2222) == ([(None, A)] if found else [])


def test_a_port_of_its_own_goes_before_the_host_by_kind_of_key():
    """A key of the host's is no key of a port that has one of that kind; of another kind it is; revoked is revoked."""
    text = f"relay-a {A}\n[relay-a]:2222 {B}\nrelay-a {RSA}\n@revoked relay-a {C}\n"
    assert trusted(text, "relay-a", 2222) == [(None, B), (None, RSA), ("revoked", C)]
    assert trusted(text, "relay-a") == [(None, A), (None, RSA), ("revoked", C)]


def test_several_keys_of_one_kind_all_count():
    """A change of keys has both for a while, in any order."""
    assert trusted(f"relay-a.example.com {A}\nrelay-a.example.com {B} new\n") == [(None, A), (None, B)]


def test_addresses_are_names_like_others():
    """IPv4 and IPv6, with and without a port."""
    text = f"10.0.0.1,fe80::1 {A}\n[fe80::1]:2222 {B}\n"
    assert trusted(text, "10.0.0.1") == trusted(text, "FE80::1") == [(None, A)]
    assert trusted(text, "fe80::1", 2222) == [(None, B)]


def test_markers_come_with_their_lines():
    """A revoked key, a CA; with tabs, indented, a comment behind."""
    text = f"\t@revoked\t*\t{B} stolen\n  @cert-authority *.example.com {RSA}\nrelay-a.example.com {A}\n"
    assert trusted(text) == [("revoked", B), ("cert-authority", RSA), (None, A)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"relay-a", "is not: hosts, kind of key, key"),
        (b"relay-a ssh-ed25519", "is not: hosts, kind of key, key"),
        (b"@revoked * ssh-ed25519", "is not: hosts, kind of key, key"),
        (b"@", "has the marker @, which is not known"),
        (b"@revokes * " + A.encode(), "has the marker @revokes, which is not known"),
        (b"@cert-authority @revoked * ssh-ed25519", "has a key that is not base64"),
        (b"relay-a ssh-ed25519 AAAA!", "has a key that is not base64"),
        (b"relay-a ssh-ed25519 AAAAC3", "has a key that is not base64"),
        (b"relay-a ssh-ed25519 " + CUT.encode(), "has a key that is cut off"),
        (b"relay-a ssh-ed25519 AAAA", "has a key that is cut off"),
        (key("ssh-ed25519", b"a" * 31).join(("relay-a ", "")).encode(), "has a key that is cut off"),
        (b"relay-a ssh-ed25519 " + key("ssh-ed25519").split()[1].encode(), "has a key that is cut off"),
        (b"relay-a ssh-rsa " + A.split()[1].encode(), "has a key that is not of the kind ssh-rsa"),
        (b"relay-a 2048 65537 1234567890", "has a key that is not base64"),
        (b"rel\xe4y " + A.encode(), "has a byte that is not ASCII in its hosts or key"),
        (b"relay-a ssh-ed25519 AAAA\xff", "has a byte that is not ASCII in its hosts or key"),
        (b"|1|c2FsdA==|aGFzaA== " + A.encode(), "has a hashed name that is cut off or of another kind"),
        (b"|2|" + hashed("x")[3:].encode() + b" " + A.encode(), "has a hashed name that is cut off or of another kind"),
        (b"|1|x " + A.encode(), "has a hashed name that is cut off or of another kind"),
    ],
)
def test_a_broken_line_is_passed_over_and_named(line, reason):
    """The lines around it count all the same."""
    found = parse(f"relay-a {A}\n".encode() + line + f"\nrelay-a {B}\n".encode())
    assert [entry.key for entry in found.of("relay-a", 22)] == [A, B]
    assert [(one.line, one.reason) for one in found.broken] == [(2, reason)]
    assert str(found.broken[0]) == f"line 2 {reason}"


def test_what_says_nothing_is_no_broken_line():
    """Comments, blank lines, line ends of Windows, bytes of any encoding in a comment."""
    text = f"# relay-a\n\n  \t\r\n  # {A}\nrelay-a.example.com {A}\r\nrelay-a.example.com {B} ".encode() + b"caf\xe9\n"
    found = parse(text)
    assert found.broken == ()
    assert [entry.key for entry in found.of("relay-a.example.com", 22)] == [A, B]


def test_a_key_reads_as_the_server_shows_it():
    """Spelled in base64 with other bits behind its end, it is the same key; kinds that nobody here knows are read."""
    odd = key("ssh-unknown@example.com", b"x")
    assert canonical(*odd.split()) == odd
    assert canonical(*A.split()) == A


@given(st.binary(max_size=300), st.text(max_size=30), st.integers(0, 65535))
def test_nothing_in_a_file_is_an_error(content, host, port):
    """Any bytes, any host."""
    parse(content).of(host, port)
    parse(f"*,{host} {A} ".encode(errors="replace") + content).of(host, port)


@given(st.data())
def test_a_line_that_was_harmed_has_a_whole_key_or_none(data):
    """One byte of a good line changed, taken out or put in: never a key that no server could show."""
    line = bytearray(f"relay-a {A}".encode())
    at = data.draw(st.integers(8, len(line) - 1))
    match data.draw(st.sampled_from(["change", "cut", "put"])):
        case "change":
            line[at] = data.draw(st.integers(0, 255))
        case "cut":
            del line[at]
        case "put":
            line.insert(at, data.draw(st.integers(0, 255)))
    found = parse(bytes(line)).of("relay-a", 22)
    for entry in found:
        blob = base64.b64decode(entry.key.split()[1])
        assert (entry.kind, len(blob)) == ("ssh-ed25519", 51)
