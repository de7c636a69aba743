from __future__ import annotations

import http.client
import json
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.unit.conftest import FakeCounters, Weftd
from weft.api.client import Client
from weft.api.schema import (
    CountersList,
    ExposeRequest,
    FactsInfo,
    HostList,
    LookupInfo,
    NameInfo,
    NameList,
    NetworkChanges,
    NetworkDetail,
    NetworkInfo,
    NetworkList,
    PortInfo,
    PortList,
    PortRequest,
    ProblemList,
    PublishRequest,
    StatusInfo,
    SubnetList,
)
from weft.api.server import listen
from weft.control.specs import AttachSpec, NameSpec, NetworkSpec, SubnetSpec
from weft.engine.failures import Failure
from weft.engine.rows import RowKey
from weft.errors import (
    ConflictError,
    InUseError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from weft.model.addresses import ip_address, ip_network


def make_network(weftd: Weftd, name: str = "foo", cidr: str = "10.9.0.0/24") -> NetworkInfo:
    spec = NetworkSpec(
        name=name, subnets=(SubnetSpec(cidr=ip_network(cidr)),), labels=(("team", "a"),)
    )
    return weftd.client.send(NetworkInfo, "POST", "networks", body=spec)


class Raw:
    """Requests as bytes, answers as they come."""

    def __init__(self, weftd: Weftd) -> None:
        self._path = str(weftd.settings.api_socket)

    def __call__(
        self, method: str, path: str, body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("weftd", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.connect(self._path)
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def error(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str, str]:
        status, _, answer = self(method, path, body)
        error = json.loads(answer)["error"]
        return status, error["kind"], error["message"]


@pytest.fixture
def raw(weftd: Weftd) -> Raw:
    return Raw(weftd)


def test_network_lives_from_creation_to_removal(weftd: Weftd) -> None:
    made = make_network(weftd)
    assert (made.name, made.labels, made.subnets[0].gateway) == ("foo", {"team": "a"}, "10.9.0.1")
    assert weftd.client.get(NetworkList, "networks").networks == (made,)
    assert weftd.client.get(NetworkDetail, "networks", "foo").id == made.id
    assert weftd.client.get(SubnetList, "networks", made.id, "subnets").subnets == made.subnets
    weftd.client.delete("networks", "foo")
    assert weftd.client.get(NetworkList, "networks").networks == ()


def test_network_of_a_tenant_is_reached_by_its_full_name(weftd: Weftd) -> None:
    spec = NetworkSpec(name="web", tenant="acme")
    weftd.client.send(NetworkInfo, "POST", "networks", body=spec)
    assert weftd.client.get(NetworkDetail, "networks", "acme/web").tenant == "acme"


def test_port_waits_for_its_device_and_goes(weftd: Weftd) -> None:
    make_network(weftd)
    request = PortRequest(network="foo", addresses=(ip_address("10.9.0.7"),), names=("box",))
    made = weftd.client.send(PortInfo, "POST", "ports", body=request)
    assert (made.network, made.host, made.device) == ("foo", "h1", None)
    assert made.addresses == ("10.9.0.7",)
    assert weftd.client.get(PortInfo, "ports", "box") == made
    assert weftd.client.get(PortList, "ports", query={"network": "foo"}).ports == (made,)
    weftd.client.delete("ports", made.id)
    assert weftd.client.get(PortList, "ports").ports == ()


def test_port_with_a_target_is_plugged_and_publishes(weftd: Weftd) -> None:
    make_network(weftd)
    published = PublishRequest(protocol="tcp", host_port=8080, port=80)
    request = PortRequest(network="foo", target="web", ifname="net1", published=(published,))
    made = weftd.client.send(PortInfo, "POST", "ports", body=request)
    assert made.device is not None
    assert (made.device.netns, made.device.peer_ifname) == ("/run/netns/web", "net1")
    assert [(one.host_port, one.port) for one in made.published] == [(8080, 80)]


def test_port_that_cannot_publish_leaves_nothing(weftd: Weftd) -> None:
    make_network(weftd)
    published = PublishRequest(protocol="tcp", host_port=8080, port=80)
    first = PortRequest(network="foo", target="web", published=(published,))
    weftd.client.send(PortInfo, "POST", "ports", body=first)
    second = PortRequest(network="foo", target="db", published=(published,))
    with pytest.raises(ConflictError, match="8080"):
        weftd.client.send(PortInfo, "POST", "ports", body=second)
    assert len(weftd.client.get(PortList, "ports").ports) == 1


def test_interface_name_without_a_target_is_refused(weftd: Weftd) -> None:
    make_network(weftd)
    with pytest.raises(InvalidError, match="needs a target"):
        weftd.client.send(PortInfo, "POST", "ports", body=PortRequest(network="foo", ifname="eth0"))


def test_attach_twice_is_one_port_and_detach_ends_it(weftd: Weftd) -> None:
    make_network(weftd)
    spec = AttachSpec(target="web", network="foo")
    first = weftd.client.send(PortInfo, "POST", "attachments", body=spec)
    assert first.names == ("web",)
    assert weftd.client.send(PortInfo, "POST", "attachments", body=spec).id == first.id
    with pytest.raises(InUseError, match="web"):
        weftd.client.delete("networks", "foo")
    weftd.client.delete("attachments", query={"target": "web", "network": "foo"})
    assert weftd.client.get(PortList, "ports").ports == ()


def test_attach_of_nothing_says_so(weftd: Weftd) -> None:
    make_network(weftd)
    with pytest.raises(NotFoundError, match="nosuch"):
        weftd.client.send(
            PortInfo, "POST", "attachments", body=AttachSpec(target="nosuch", network="foo")
        )


def test_expose_gives_the_host_a_place_and_hide_takes_it(weftd: Weftd) -> None:
    make_network(weftd)
    body = ExposeRequest(addresses=(ip_address("10.9.0.100"),))
    place = weftd.client.send(PortInfo, "PUT", "networks", "foo", "host", body=body)
    assert (place.owner.frontend, place.addresses) == ("host", ("10.9.0.100",))
    detail = weftd.client.get(NetworkDetail, "networks", "foo")
    assert (detail.is_exposed, detail.port_count) == (True, 0)
    with pytest.raises(InvalidError, match="weft hide"):
        weftd.client.delete("ports", place.id)
    weftd.client.delete("networks", "foo", "host")
    assert not weftd.client.get(NetworkDetail, "networks", "foo").is_exposed


def test_names_are_those_added_and_those_of_ports(weftd: Weftd) -> None:
    make_network(weftd)
    weftd.client.send(PortInfo, "POST", "attachments", body=AttachSpec(target="web", network="foo"))
    spec = NameSpec(
        name="db", network="foo", addresses=(ip_address("10.9.0.50"), ip_address("10.9.0.51"))
    )
    added = weftd.client.send(NameInfo, "POST", "names", body=spec)
    assert added.fqdn == "db.foo.weft.internal"
    names = weftd.client.get(NameList, "names", query={"network": "foo"}).names
    assert [(one.name, one.source) for one in names] == [("db", "added"), ("web", "port")]
    weftd.client.delete("names", "foo", "db", query={"address": ["10.9.0.50"]})
    (left,) = [one for one in weftd.client.get(NameList, "names").names if one.name == "db"]
    assert left.addresses == ("10.9.0.51",)
    weftd.client.delete("names", "foo", "db")
    assert [one.name for one in weftd.client.get(NameList, "names").names] == ["web"]


def test_lookup_asks_dns(weftd: Weftd) -> None:
    answer = weftd.client.get(LookupInfo, "lookup", query={"name": "web", "type": "a"})
    assert (answer.rcode, answer.type, answer.records[0].data) == ("NOERROR", "A", "10.9.0.2")
    reverse = weftd.client.get(LookupInfo, "lookup", query={"name": "10.9.0.2"})
    assert (reverse.type, reverse.records[0].data) == ("PTR", "web.foo.")
    with pytest.raises(InvalidError, match="type NOPE"):
        weftd.client.get(LookupInfo, "lookup", query={"name": "web", "type": "nope"})


def test_counters_are_those_of_plugged_ports(weftd: Weftd) -> None:
    make_network(weftd)
    port = weftd.client.send(
        PortInfo, "POST", "attachments", body=AttachSpec(target="web", network="foo")
    )
    assert port.device is not None
    drops = {"spoofed_mac": 4, "ttl": 0}
    weftd.engine.traffic = {
        port.device.ifname: FakeCounters(1, 60, 2, 120, drops),
        "weftgone": FakeCounters(),
        "eth0": FakeCounters(drops={"unknown_peer": 2, "ttl": 0}),
    }
    answer = weftd.client.get(CountersList, "counters")
    assert answer.wire_drops == {"eth0": {"unknown_peer": 2}}
    (counters,) = answer.counters
    assert (counters.port_id, counters.tx_bytes, counters.drops) == (
        port.id,
        120,
        {"spoofed_mac": 4},
    )


def test_failed_rows_show_at_the_port_and_as_problems(weftd: Weftd) -> None:
    make_network(weftd)
    port = weftd.client.send(
        PortInfo, "POST", "attachments", body=AttachSpec(target="web", network="foo")
    )
    weftd.engine.failed = [Failure(RowKey("devices", "weftx"), [("port", port.id)], "no netns")]
    (problem,) = weftd.client.get(ProblemList, "problems").problems
    assert (problem.kind, problem.name, problem.reason) == ("port", "web.foo", "no netns")
    assert problem.fix
    assert weftd.client.get(PortInfo, "ports", port.id).problems == ("no netns",)
    assert weftd.client.get(StatusInfo, "status").problem_count == 1


def test_rows_that_one_reason_stops_are_a_few_problems_and_a_number(weftd: Weftd) -> None:
    weftd.engine.failed = [
        *(Failure(RowKey("addresses", number), [], "the map is full") for number in range(40_000)),
        Failure(RowKey("macs", 1), [], "the map is full"),
    ]
    problems = weftd.client.get(ProblemList, "problems").problems
    assert [problem.name for problem in problems] == [
        *(f"addresses {number}" for number in range(10)),
        "39990 more of addresses",
        "macs 1",
    ]
    assert {problem.reason for problem in problems} == {"the map is full"}


def test_dns_socket_that_is_not_served_is_a_problem(weftd: Weftd) -> None:
    weftd.dns.failures = {"udp 169.254.53.53 port 53": "address in use"}
    (problem,) = weftd.client.get(ProblemList, "problems").problems
    assert (problem.kind, problem.reason) == ("dns", "address in use")


def test_status_names_host_settings_and_readiness(weftd: Weftd) -> None:
    status = weftd.client.get(StatusInfo, "status")
    assert status.is_ready
    assert status.pid == os.getpid()
    assert status.host.underlay == ("192.0.2.10",)
    assert status.settings["run_dir"] == weftd.settings.run_dir
    assert [host.is_local for host in weftd.client.get(HostList, "hosts").hosts] == [True]
    facts = weftd.client.get(FactsInfo, "facts")
    assert facts.resident_bytes > 1_000_000
    assert (facts.resolvers, facts.dns) == (("192.0.2.53",), {"queries": 7})


def test_shutdown_stops_the_daemon(weftd: Weftd, raw: Raw) -> None:
    status, _, body = raw("POST", "/v1/shutdown")
    assert (status, json.loads(body)) == (200, {"pid": os.getpid()})
    assert weftd.is_stopped.is_set()


def test_metrics_are_prometheus_text(weftd: Weftd, raw: Raw) -> None:
    make_network(weftd)
    port = weftd.client.send(
        PortInfo, "POST", "attachments", body=AttachSpec(target="web", network="foo")
    )
    assert port.device is not None
    weftd.engine.traffic = {
        port.device.ifname: FakeCounters(1, 60, 2, 120, {"ttl": 5}),
        "weftx": FakeCounters(drops={"unencrypted": 3}),
    }
    status, headers, body = raw("GET", "/metrics")
    text = body.decode()
    labels = f'{{name="web",network="foo",port="{port.id}"'
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    for line in (
        'weft_info{host="h1",version="',
        f"weft_port_transmit_bytes_total{labels}}} 120.0",
        f'weft_port_drops_total{labels},reason="ttl"}} 5.0',
        'weft_wire_drops_total{device="weftx",reason="unencrypted"} 3.0',
        'weft_records{kind="network"} 1.0',
        "weft_reconcile_runs_total 3.0",
        'weft_dns_total{what="queries"} 7.0',
        'weft_dns_questions{state="asked"} 3.0',
        "weft_process_resident_memory_bytes ",
    ):
        assert line in text


def test_metrics_of_two_tenants_with_equal_names_are_series_of_their_own(
    weftd: Weftd, raw: Raw
) -> None:
    ports = []
    for tenant in ("default", "acme"):
        spec = NetworkSpec(
            name="foo",
            tenant=tenant,
            subnets=(SubnetSpec(cidr=ip_network("10.1.0.0/24")),),
            multicast_groups=(ip_address("239.1.1.1"),),
        )
        made = weftd.client.send(NetworkInfo, "POST", "networks", body=spec)
        attach = AttachSpec(target="web", network=made.id)
        ports.append(weftd.client.send(PortInfo, "POST", "attachments", body=attach))
    weftd.engine.traffic = {
        port.device.ifname: FakeCounters(1, 60, 2, 120, {"policy": 5})
        for port in ports
        if port.device is not None
    }
    lines = raw("GET", "/metrics")[2].decode().splitlines()
    series = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert len(series) == len(set(series))
    for name in ("foo", "acme/foo"):
        assert f'weft_multicast_groups{{network="{name}"}}' in series
        (of_port,) = (
            each
            for each in series
            if each.startswith("weft_port_drops_total") and f'network="{name}"' in each
        )
        assert 'name="web"' in of_port


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "request body: field 'name' is missing"),
        (b"{", "request body: input data was truncated"),
        (b"\xff", "request body: JSON is malformed"),
        (b"[1]", "request body: expected object, got array"),
        (b'{"name": 1}', "request body: name: expected str, got int"),
        (b'{"name": "x", "subnetz": []}', "unknown field 'subnetz'; did you mean 'subnets'?"),
        (b'{"name": "x", "subnets": [{"cidr": "10.0.0.0/33"}]}', "subnets[0].cidr: '10.0.0.0/33'"),
        (b'{"name": "x", "subnets": [{"cidr": 7}]}', "subnets[0].cidr"),
        (b'{"name": "' + b"\\ud800" + b'"}', "request body"),
        (b"[" * 100_000, "request body"),
    ],
)
def test_body_that_does_not_fit_is_refused_by_field(raw: Raw, body: bytes, message: str) -> None:
    status, kind, text = raw.error("POST", "/v1/networks", body)
    assert (status, kind) == (400, "invalid")
    assert message.lower() in text.lower()


@pytest.mark.parametrize(
    ("method", "path", "status", "kind", "message"),
    [
        ("GET", "/v1/nothing", 404, "not-found", "no such path"),
        ("PUT", "/v1/networks", 405, "invalid", "offered are GET, POST"),
        ("GET", "/v1/ports?netwrok=foo", 400, "invalid", "did you mean 'network'?"),
        ("GET", "/v1/ports?network=a&network=b", 400, "invalid", "given twice"),
        ("GET", "/v1/lookup", 400, "invalid", "field 'name' is missing"),
        ("DELETE", "/v1/names/foo/x?address=nonsense", 400, "invalid", "address[0]"),
        ("GET", "/v1/networks/nosuch", 404, "not-found", "network nosuch"),
        ("DELETE", "/v1/ports/nosuch", 404, "not-found", "port nosuch"),
        ("POST", "/v1/openapi.json", 405, "invalid", "offered are GET"),
    ],
)
def test_request_that_fits_nowhere_is_a_sentence(
    raw: Raw, method: str, path: str, status: int, kind: str, message: str
) -> None:
    answered = raw.error(method, path)
    assert answered[:2] == (status, kind)
    assert message in answered[2]


def test_huge_body_is_refused(raw: Raw) -> None:
    body = b'{"name": "' + b"x" * (2 << 20) + b'"}'
    status, kind, message = raw.error("POST", "/v1/networks", body)
    assert (status, kind) == (413, "invalid")
    assert "larger than" in message


@pytest.fixture
def slow_weftd(folder: Path) -> Iterator[Weftd]:
    daemon = Weftd(folder, deadline_s=0.2)
    daemon.start()
    yield daemon
    daemon.stop()


def test_slow_request_ends_at_its_deadline(slow_weftd: Weftd) -> None:
    slow_weftd.engine.delay_s = 30.0
    with pytest.raises(UnavailableError, match=r"did not finish within 0\.2 s"):
        slow_weftd.client.get(CountersList, "counters")
    assert slow_weftd.client.get(StatusInfo, "status").is_ready


def spoken(weftd: Weftd, data: bytes) -> bytes:
    """The answer to bytes that are sent, and then nothing more."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(weftd.settings.api_socket))
        with suppress(OSError):
            connection.sendall(data)
        with suppress(OSError):
            return connection.recv(65536)
        return b""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST /v1/networks HTTP/1.1\r\nHost: w\r\nContent-Length: 99\r\n\r\n{", b"503"),
        (
            b"POST /v1/networks HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{",
            b"503",
        ),
        (b"GET /v1/status HTTP/1.1\r\nHost: w\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", b"400"),
        (b"GET /v1/" + b"y" * 100_000 + b" HTTP/1.1\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00" + bytes(512) + b"\r\n\r\n", b"400"),
        (b"POST /v1/networks HTTP/1.1\r\nHost: w\r\nContent-Length: -1\r\n\r\n{}", b"400"),
    ],
)
def test_requests_that_never_end_or_are_none_are_answered_in_time(
    slow_weftd: Weftd, data: bytes, status: bytes
) -> None:
    assert spoken(slow_weftd, data).split(b" ")[1] == status
    assert slow_weftd.client.get(StatusInfo, "status").is_ready


def test_connections_that_say_nothing_keep_no_request_waiting(weftd: Weftd) -> None:
    with ExitStack() as stack:
        for _ in range(200):
            idle = stack.enter_context(socket.socket(socket.AF_UNIX))
            idle.connect(str(weftd.settings.api_socket))
        assert weftd.client.get(StatusInfo, "status").is_ready


def test_fault_in_weftd_is_an_answer_and_not_the_end(weftd: Weftd, raw: Raw) -> None:
    weftd.engine.traffic = None  # type: ignore[assignment]
    make_network(weftd)
    weftd.client.send(PortInfo, "POST", "attachments", body=AttachSpec(target="web", network="foo"))
    status, kind, message = raw.error("GET", "/v1/counters")
    assert (status, kind) == (500, "internal")
    assert "fault in weftd" in message
    assert raw("GET", "/v1/status")[0] == 200


def test_client_says_how_to_start_weftd(folder: Path) -> None:
    client = Client(folder / "weftd.sock")
    with pytest.raises(UnavailableError, match="start it with: weft up"):
        client.get(StatusInfo, "status")


def test_client_says_so_too_when_weftd_left_its_socket(folder: Path) -> None:
    path = folder / "weftd.sock"
    listen(path).close()
    with pytest.raises(UnavailableError, match="nobody serves on"):
        Client(path).get(StatusInfo, "status")


def test_only_root_may_use_the_socket(weftd: Weftd) -> None:
    mode = weftd.settings.api_socket.stat().st_mode
    assert stat.S_IMODE(mode) in (0o600, 0o660)
    assert stat.S_IMODE(weftd.settings.api_socket.parent.stat().st_mode) == 0o711


def test_second_weftd_on_a_socket_is_refused(weftd: Weftd) -> None:
    with pytest.raises(ConflictError, match="another weftd"):
        listen(weftd.settings.api_socket)
    assert weftd.client.get(StatusInfo, "status").is_ready


def test_socket_of_a_dead_weftd_is_replaced(folder: Path) -> None:
    path = folder / "weftd.sock"
    listen(path).close()
    assert path.is_socket()
    listen(path).close()


def test_file_in_place_of_the_socket_is_left_alone(folder: Path) -> None:
    path = folder / "weftd.sock"
    path.write_text("precious")
    with pytest.raises(ConflictError, match="no socket"):
        listen(path)
    assert path.read_text() == "precious"


def test_null_is_told_from_what_is_left_out(weftd: Weftd) -> None:
    make_network(weftd, "one", cidr="10.7.0.0/24")
    subnet = SubnetSpec(cidr=ip_network("10.8.0.0/24"), gateway=None)
    spec = NetworkSpec(name="two", subnets=(subnet,))
    weftd.client.send(NetworkInfo, "POST", "networks", body=spec)
    gateways = {
        name: weftd.client.get(NetworkDetail, "networks", name).subnets[0].gateway
        for name in ("one", "two")
    }
    assert gateways == {"one": "10.7.0.1", "two": None}
    none = PortRequest(network="one", addresses=())
    assert weftd.client.send(PortInfo, "POST", "ports", body=none).addresses == ()
    some = PortRequest(network="one")
    assert weftd.client.send(PortInfo, "POST", "ports", body=some).addresses == ("10.7.0.2",)
    plugged = AttachSpec(network="one", target="web", addresses=())
    assert weftd.client.send(PortInfo, "POST", "attachments", body=plugged).addresses == ()
    same = weftd.client.send(NetworkInfo, "PATCH", "networks", "one", body=NetworkChanges())
    assert same.name == "one"
