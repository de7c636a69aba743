"""``weft flows``: what people read, and what programs do."""

from __future__ import annotations

import json
from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from tests.unit.cli.conftest import Weft
from tests.unit.conftest import Weftd
from weft.api.schema import FlowEnd, FlowInfo, FlowLine, FlowRule, UnansweredInfo
from weft.cli.flows_table import end_text, line_text
from weft.model.records import Network
from weft.observers.flows.interface import Table
from weft.observers.flows.seen import Denial, FlowsAsked, FlowSeen, FlowWord

RULE = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def flow(weftd: Weftd, busy: Weft) -> FlowSeen:
    (foo,) = weftd.store.by(Network, "name", "foo")
    return FlowSeen(
        protocol=6,
        source=ip_address("10.9.0.77"),
        destination=ip_address("198.51.100.7"),
        source_port=4000,
        destination_port=443,
        network_id=foo.id,
        state=FlowWord.ESTABLISHED,
        packets=3,
        octets=3000,
        answer_packets=2,
        answer_octets=200,
        began_s=100.0,
        seen_s=110.0,
    )


def test_one_line_is_one_connection(
    weftd: Weftd, weft: Weft, flow: FlowSeen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    denied = replace(
        flow, protocol=17, state=FlowWord.DENIED, denied_by=Denial.INGRESS, ingress_rule=RULE
    )
    ended = replace(flow, protocol=1, destination_port=8 << 8, ended_s=120.0)
    weftd.flows.seen = [flow, denied, ended]
    ran = weft("flows")
    assert ran.code == 0, ran
    head, *lines = ran.out.splitlines()
    assert head.split()[:4] == ["WHAT", "FROM", "TO", "NETWORK"]
    assert len(lines) == 3
    (tcp,) = (line for line in lines if line.startswith("tcp"))
    for word in (
        "box (10.9.0.77):4000",
        "198.51.100.7:443",
        "established",
        "3 / 3.0 kB",
        "default",
    ):
        assert word in tcp
    (udp,) = (line for line in lines if line.startswith("udp"))
    assert "denied" in udp
    assert "gone (11111111)" in udp
    (ping,) = (line for line in lines if line.startswith("ping"))
    assert "ended" in ping


def test_json_is_what_the_api_answers(weftd: Weftd, weft: Weft, flow: FlowSeen) -> None:
    weftd.flows.seen = [flow]
    answer = json.loads(weft("flows", "--json").out)
    assert answer["flows"][0]["source"]["port"] == 4000
    assert answer["is_whole"] is True


@pytest.mark.parametrize(
    "text, seconds", [("90", 90.0), ("30s", 30.0), ("5m", 300.0), ("1.5h", 5400.0)]
)
def test_times_as_people_say_them(
    weftd: Weftd, weft: Weft, flow: FlowSeen, text: str, seconds: float
) -> None:
    assert weft("flows", "--since", text).code == 0
    assert weftd.flows.asked == [FlowsAsked(since_s=seconds)]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--since", "soon"),
        ("--since", "-5m"),
        ("--verdict", "maybe"),
        ("--follow", "--since", "5m"),
    ],
)
def test_what_is_not_understood(weft: Weft, busy: Weft, arguments: tuple[str, ...]) -> None:
    assert weft("flows", *arguments).code == 2


def test_that_there_are_more_is_said(weftd: Weftd, weft: Weft, flow: FlowSeen) -> None:
    weftd.flows.seen = [replace(flow, source_port=number) for number in range(1001)]
    assert "there are more" in weft("flows").out


def test_a_full_table_is_said(weftd: Weftd, weft: Weft, flow: FlowSeen) -> None:
    assert "room" not in weft("flows").out
    weftd.flows.table = Table({4: 800, 6: 799}, {4: 1000, 6: 1000}, refused=7, over_share=9)
    out = weft("flows").out
    assert "table of ipv4 connections is nearly full: 800 of 1000 entries" in out
    assert "ipv6" not in out
    assert "7 entries found no room" in out
    assert "9 entries were refused to ports" in out
    table = json.loads(weft("flows", "--json").out)["table"]
    assert table["room"] == {"ipv4": 1000, "ipv6": 1000}


def test_names_of_others_are_made_fit_for_a_terminal(weftd: Weftd, weft: Weft) -> None:
    end = FlowEnd(
        address="fd00::1",
        port=80,
        port_id=None,
        name=None,
        host=None,
        network=None,
        network_id=None,
    )
    assert end_text(end) == "[fd00::1]:80"


def test_a_narrow_terminal_has_each_connection_in_a_block(
    weftd: Weftd, weft: Weft, flow: FlowSeen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    wide = {
        "source": ip_address("fd00:1234:5678:9abc:def0:1234:5678:9abc"),
        "destination": ip_address("2001:db8:1234:5678:9abc:def0:1234:5678"),
    }
    weftd.flows.seen = [flow, replace(flow, **wide, began_s=flow.began_s - 1)]
    ran = weft("flows", "--all")
    assert ran.code == 0, ran
    lines = ran.out.splitlines()
    assert max(map(len, lines)) <= 80
    heads = [at for at, line in enumerate(lines) if not line.startswith(" ")]
    assert [lines[at].split()[:2] for at in heads] == [["tcp", "established"]] * 2
    assert lines[0].endswith("box (10.9.0.77):4000 on foo > 198.51.100.7:443")
    assert lines[1].lstrip().startswith("sent 3 / 3.0 kB, answered 2 / 200 B, began ")
    words = " ".join(lines[1 : heads[1]]).split()
    assert " ".join(words).endswith("ago, seen by h1, by default")
    assert "[fd00:1234:5678:9abc:def0:1234:5678:9abc]:4000" in " ".join(lines[heads[1] :])


def test_those_who_follow_read_one_line_or_two(weftd: Weftd, flow: FlowSeen) -> None:
    def end(name: str, address: str, network: str) -> FlowEnd:
        return FlowEnd(
            address=address,
            port=80,
            port_id="p",
            name=name,
            host="h1",
            network=network,
            network_id=network,
        )

    info = FlowInfo(
        protocol="tcp",
        source=end("api", "10.1.0.2", "app"),
        destination=end("db", "10.2.0.2", "acme/data"),
        icmp_type=None,
        icmp_code=None,
        network="app",
        network_id="app",
        state="established",
        verdict="allowed",
        denied_by=None,
        egress_rule=None,
        ingress_rule=FlowRule(id="r", group="db", text="allow ingress tcp 5432 from any"),
        packets=3,
        bytes=300,
        answer_packets=2,
        answer_bytes=200,
        began_s=100.0,
        seen_s=110.0,
        ended_s=None,
        hosts=("h1",),
    )
    ends = "tcp api (10.1.0.2):80 on app > db (10.2.0.2):80 on acme/data"
    (one,) = line_text(FlowLine(event="began", flow=info), 160).splitlines()
    assert one[9:] == f"began  {ends}  by db: allow ingress tcp 5432 from any"
    narrow = line_text(FlowLine(event="began", flow=info), 80).splitlines()
    assert [line.strip() for line in narrow] == [
        f"{one[:9]}began  {ends}",
        "by db: allow ingress tcp 5432 from any",
    ]
    over = line_text(FlowLine(event="ended", flow=replace(info, ended_s=120.0)), 160)
    assert over.endswith("sent 3 / 300 B, answered 2 / 200 B, after 10 s")
    silent = UnansweredInfo(host="h2", host_id="b" * 16, reason="no answer within 5 s")
    line = line_text(FlowLine(event="unanswered", unanswered=silent), 160)
    assert line[9:] == "without host h2: no answer within 5 s"
    assert "missed 7 connections" in line_text(FlowLine(event="missed", missed=7), 160)
