"""esxcli's answers: microseconds in fields called MS, its own spelling, and nothing but ParseError for nonsense."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrvmotion.vsphere.host.esxcli import ParseError, Route, parse_connections, parse_ping, parse_routes, plainer

XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
SUMMARY = (
    "<Duplicated>0</Duplicated><HostAddr>10.99.0.9</HostAddr><PacketLost>33</PacketLost><Recieved>2</Recieved>"
    "<RoundtripAvgMS>55210</RoundtripAvgMS><RoundtripMaxMS>55400</RoundtripMaxMS>"
    "<RoundtripMinMS>55020</RoundtripMinMS><Transmitted>3</Transmitted>"
)
TRACE = "<ICMPSeq>{0}</ICMPSeq><ReceivedBytes>64</ReceivedBytes><RoundtripTimeMS>{1}</RoundtripTimeMS><TTL>61</TTL>"


def wrapped(*, inner: bool) -> str:
    """Return a ping's answer as the samples have it: with or without DataObject in between."""
    first, last = ("<DataObject>", "</DataObject>") if inner else ("", "")
    rows = [TRACE.format(0, 55020), TRACE.format(2, 55400)]
    if inner:
        trace = "<Trace>" + "".join(f"<DataObject>{row}</DataObject>" for row in rows) + "</Trace>"
    else:
        trace = "".join(f"<Trace>{row}</Trace>" for row in rows)
    kind = 'xsi:type="VimEsxCLInetworkdiagpingPing"'
    return f"<obj {XSI} {kind}><Summary>{first}{SUMMARY}{last}</Summary>{trace}</obj>"


@pytest.mark.parametrize("inner", [False, True])
def test_a_ping_is_read_at_any_depth_and_in_microseconds(inner):
    """The samples differ in wrapping; "…MS" holds microseconds; received is spelled "Recieved"."""
    pings = parse_ping(wrapped(inner=inner))
    assert (pings.sent, pings.received) == (3, 2)
    assert (pings.rtt_min_ms, pings.rtt_avg_ms) == (55.02, 55.21)
    assert pings.rtts_ms == (55.02, 55.4)


@pytest.mark.parametrize(("netstack", "kept"), [("defaultTcpipStack", set()), ("vmotion", {"netstack"})])
def test_a_ping_that_was_refused_is_asked_for_without_what_a_build_may_not_know(netstack, kept):
    """Its interval is a second then, so that fewer are asked for; what changes its meaning stays."""
    given = {"count": "20", "df": "true", "host": "10.99.0.9", "interface": "vmk1", "interval": "0.2",
             "netstack": netstack, "size": "1472"}  # fmt: skip
    plain = plainer(given)
    assert set(given) - set(plain) == {"interval", "netstack"} - kept
    assert plain["count"] == "5"
    assert all(plain[name] == given[name] for name in plain if name != "count")


def test_a_ping_without_answers_has_no_round_trip():
    """Zeros that nobody measured are not round trips."""
    summary = "<Recieved>0</Recieved><Transmitted>3</Transmitted><RoundtripAvgMS>0</RoundtripAvgMS>"
    pings = parse_ping(f"<obj><Summary>{summary}</Summary></obj>")
    assert (pings.sent, pings.received, pings.rtt_avg_ms) == (3, 0, None)


def test_duplicated_answers_are_not_more_answers():
    """Loss is never negative."""
    text = wrapped(inner=False).replace("<Recieved>2<", "<Recieved>5<")
    assert parse_ping(text).received == 3


def test_routes_are_read_from_a_list_of_objects():
    """network ip route ipv4 list: one object a route."""
    row = "<Gateway>10.88.0.1</Gateway><Interface>vmk1</Interface><Netmask>255.255.255.255</Netmask>"
    answer = (
        f'<obj {XSI} xsi:type="ArrayOfDataObject"><DataObject>{row}<Network>10.99.0.9</Network></DataObject>'
        "<DataObject><Gateway>0.0.0.0</Gateway><Network>10.88.0.0</Network><Netmask>255.255.255.0</Netmask>"
        "</DataObject></obj>"
    )
    first = Route(network="10.99.0.9", netmask="255.255.255.255", gateway="10.88.0.1", interface="vmk1")
    assert parse_routes(answer)[0] == first
    assert len(parse_routes(answer)) == 2


def test_a_document_type_is_refused_unread():
    """Entities of a document type could be bombs; esxcli sends none."""
    with pytest.raises(ParseError, match="declaration"):
        parse_ping('<!DOCTYPE x [<!ENTITY a "b">]><obj>&a;</obj>')


@given(st.one_of(st.text(), st.from_regex(r"<obj>(<(Summary|Trace|Recieved|Transmitted)>[0-9a-z<>/-]*)*</obj>")))
def test_nonsense_raises_parse_error_only(text):
    """Whatever comes, a ping or a list of routes is read or ParseError is raised."""
    for parse in (parse_ping, parse_routes, parse_connections):
        try:
            parse(text)
        except ParseError:
            continue


@given(st.dictionaries(st.sampled_from(["Recieved", "Transmitted", "RoundtripMinMS", "RoundtripAvgMS"]), st.text()))
def test_fields_that_are_not_numbers_raise_parse_error_only(fields):
    """A count is digits, and nothing else is taken for one."""
    from xml.sax.saxutils import escape

    body = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in fields.items())
    with suppress(ParseError):
        parse_ping(f"<obj><Summary>{body}</Summary></obj>")


def test_established_connections_are_read_and_no_others():
    """network ip connection list: one object a socket; what listens or ends is none."""
    row = "<LocalAddress>10.88.0.9:{0}</LocalAddress><ForeignAddress>10.99.0.9:8000</ForeignAddress><State>{1}</State>"
    rows = [row.format(52000, "ESTABLISHED"), row.format(52001, "TIME_WAIT"), row.format(52002, "LISTEN")]
    objects = "".join(f"<DataObject>{text}<Proto>tcp</Proto></DataObject>" for text in rows)
    answer = f'<obj {XSI} xsi:type="ArrayOfDataObject">{objects}</obj>'
    assert parse_connections(answer) == {("10.88.0.9:52000", "10.99.0.9:8000")}
    assert parse_connections("") == frozenset()
