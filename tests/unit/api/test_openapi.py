"""The description holds: every route is in it and nothing else, and real answers fit it."""

from __future__ import annotations

import http.client
import json
import re
import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from tests.unit.conftest import FakeCounters, Weftd
from tests.unit.flows.test_flow_history import FLOW
from weft.api.openapi import describe
from weft.api.routes import ROUTES
from weft.cluster.inquiry import UnansweredError, Why
from weft.engine.failures import Failure
from weft.engine.rows import RowKey
from weft.model.ids import HostId
from weft.model.records import Host
from weft.observers.flows.interface import News
from weft.store.interface import Put

OPERATION_METHODS = ("get", "put", "post", "patch", "delete")


def exchange(weftd: Weftd, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("weftd", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(str(weftd.settings.api_socket))
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class Described:
    """Requests whose answers are checked against the description that weftd itself serves."""

    def __init__(self, weftd: Weftd) -> None:
        self._weftd = weftd
        self.description = json.loads(exchange(weftd, "GET", "/v1/openapi.json")[1])
        self.seen: set[tuple[str, str]] = set()

    def __call__(self, method: str, target: str, body: object = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        status, answer = exchange(self._weftd, method, target, data)
        path, operation = self._operation(method, target.partition("?")[0])
        assert str(status) in operation["responses"], (method, target, status, answer)
        response = operation["responses"][str(status)]
        if status < 400:
            self.seen.add((method, path))
        if "content" not in response:
            assert answer == b""
            return None
        ((content_type, content),) = response["content"].items()
        if content_type == "application/jsonl":
            answer = answer.splitlines()[-1]
        schema = content["schema"]
        value = json.loads(answer)
        self.validator(schema).validate(value)
        return value

    def validator(self, schema: dict[str, Any]) -> Any:
        whole = {**schema, "components": self.description["components"]}
        return Draft202012Validator(_closed(whole))

    def _operation(self, method: str, path: str) -> tuple[str, Any]:
        for template, operations in self.description["paths"].items():
            pattern = re.sub(r"\{\w+\}", "[^/]+", template)
            if re.fullmatch(pattern, path) and method.lower() in operations:
                return template, operations[method.lower()]
        raise AssertionError(f"{method} {path} is not described")


def _closed(schema: Any) -> Any:
    """The same schema, refusing fields that it does not name: a field must be described."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


@pytest.fixture
def described(weftd: Weftd) -> Described:
    return Described(weftd)


def test_every_route_is_described_and_nothing_else(described: Described) -> None:
    operations = {
        (method.upper(), path)
        for path, operations in described.description["paths"].items()
        for method in operations
        if method in OPERATION_METHODS
    }
    assert operations == {(route.method, route.path) for route in ROUTES}


def test_every_described_operation_is_served(weftd: Weftd, described: Described) -> None:
    for path, operations in described.description["paths"].items():
        for method in operations:
            target = path.replace("{", "").replace("}", "")
            if path == "/v1/watch":
                target += "?since=nothing"  # an answer that ends
            if path == "/v1/flows/watch":
                target += "?port=nobody"
            status, answer = exchange(weftd, method.upper(), target)
            text = answer.decode()
            assert status != 405, (method, path)
            assert "no such path" not in text, (method, path)


def test_path_and_query_parameters_are_described(described: Described) -> None:
    for route in ROUTES:
        operation = described.description["paths"][route.path][route.method.lower()]
        by_place: dict[str, set[str]] = {"path": set(), "query": set()}
        for parameter in operation["parameters"]:
            by_place[parameter["in"]].add(parameter["name"])
        assert by_place["path"] == set(route.parameters)
        assert by_place["query"] == set(route.query.__struct_encode_fields__)
        assert ("requestBody" in operation) == (route.body is not None)


def test_operation_ids_are_unique(described: Described) -> None:
    ids = [
        operation["operationId"]
        for operations in described.description["paths"].values()
        for operation in operations.values()
    ]
    assert len(ids) == len(set(ids))


def test_description_is_the_one_that_the_routes_give(described: Described) -> None:
    assert described.description == json.loads(json.dumps(describe(ROUTES)))
    for schema in described.description["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_answers_of_all_routes_fit_their_description(weftd: Weftd, described: Described) -> None:
    network = {
        "name": "foo",
        "subnets": [
            {
                "cidr": "10.9.0.0/24",
                "ranges": [{"first": "10.9.0.8", "last": "10.9.0.99"}],
                "excludes": [{"first": "10.9.0.9", "last": "10.9.0.9"}],
            },
            {"cidr": "fd00:9::/64"},
        ],
        "labels": [["team", "a"]],
    }
    described("POST", "/v1/networks", network)
    described("POST", "/v1/networks", network)  # a conflict fits too
    described("POST", "/v1/networks", {"nam": "bar"})
    port = described(
        "POST",
        "/v1/ports",
        {
            "network": "foo",
            "target": "db",
            "mac": "02:00:00:00:00:07",
            "allowed": [{"cidr": "10.1.0.0/16"}],
            "published": [{"protocol": "tcp", "host_port": 8080, "port": 80}],
        },
    )
    attached = described("POST", "/v1/attachments", {"target": "web", "network": "foo"})
    described("POST", "/v1/networks/foo/multicast-groups", {"address": "239.1.1.1"})
    described(
        "POST", "/v1/networks/foo/multicast-groups", {"address": "ff05::1", "port": port["id"]}
    )
    described("POST", "/v1/networks/foo/multicast-groups", {"address": "10.1.1.1"})
    described("PUT", "/v1/networks/foo/host", {})
    described("POST", "/v1/names", {"name": "n", "network": "foo", "services": ["0 0 80 web"]})
    described("PATCH", "/v1/names/foo/n", {"addresses": ["10.9.0.40"], "labels": {"a": "b"}})
    described("POST", "/v1/tenants", {"name": "acme", "quota": {"ports": 3, "rules": None}})
    described("POST", "/v1/tenants", {"name": "acme"})  # a conflict
    described("PATCH", "/v1/tenants/acme", {"labels": {"a": "b"}})
    described("POST", "/v1/routers", {"name": "r1", "networks": [{"network": "foo"}]})
    described("POST", "/v1/routers", {"name": "r1"})  # a conflict
    described("PATCH", "/v1/routers/r1", {"labels": {"a": "b"}})
    described("POST", "/v1/routers/r1/routes", {"prefix": "10.77.0.0/16", "via": ["10.9.0.8"]})
    described("POST", "/v1/routers/r1/routes", {"prefix": "10.77.0.0/16", "via": ["10.8.0.8"]})
    described("POST", "/v1/routers/r1/networks", {"network": "nosuch"})
    described("POST", "/v1/routers/r1/networks", {"network": "foo"})
    rules = ["allow ingress tcp 80", {"action": "drop", "direction": "egress", "peer": "fd00::/8"}]
    described("POST", "/v1/groups", {"name": "web", "tenant": "acme", "rules": rules})
    described("POST", "/v1/groups", {"name": "db", "rules": ["alow"]})
    described("PATCH", "/v1/groups/acme%2Fweb", {"selector": "a=b", "denied": ["ingress"]})
    added = described("POST", "/v1/groups/acme%2Fweb/rules", {"rule": "allow ingress udp 53"})
    rule = f"/v1/groups/acme%2Fweb/rules/{added['id']}"
    described("PUT", rule, {"rule": "allow ingress udp 54"})
    described("PATCH", f"/v1/ports/{port['id']}", {"labels": {"a": "b"}, "groups": []})
    described("PATCH", f"/v1/ports/{port['id']}", {"groups": ["nosuch"]})
    wanted = {"kind": "network", "name": "foo", "multicast": "flood"}
    described("POST", "/v1/apply", {"documents": [wanted], "is_dry_run": True})
    described("POST", "/v1/apply", {"documents": [{"kind": "nothing"}]})
    weftd.engine.traffic = {attached["device"]["ifname"]: FakeCounters(drops={"ttl": 1})}
    weftd.others.answers[HostId("b" * 16)] = UnansweredError(Why.LATE, "no answer")
    weftd.flows.seen = [FLOW]
    weftd.flows.last = News([FLOW], [], 0)  # an answer that ends
    weftd.engine.failed = [
        Failure(RowKey("devices", "x"), [("port", attached["id"])], "no netns"),
        Failure(RowKey("nftables", ("masquerade", "x")), [], "no nft"),
    ]
    for path in (
        "status",
        "hosts",
        "why/" + "a" * 16,
        "why/nobody",
        "token",
        "encryption",
        "facts",
        "problems",
        "conflicts",
        "ipam",
        "counters",
        "counters?all=true",
        "counters?all=perhaps",
        "flows",
        "flows?all=true&since_s=60",
        "flows?verdict=perhaps",
        "flows/watch?port=nobody",
        "flows/watch",
        "tenants",
        "tenants/acme",
        "tenants/nobody",
        "routers",
        "routers/r1",
        "routers/nobody",
        "groups",
        "groups?tenant=acme",
        "groups/acme%2Fweb",
        "groups/acme%2Fweb/rules",
        "groups/nosuch/rules",
        "policy/test?source=web&destination=db&protocol=tcp&port=80",
        "policy/test?source=web&destination=203.0.113.9",
        "policy/test?source=web&destination=nosuch",
        "policy/test?source=web&destination=db&protocol=tcp",
        "trace?source=web&destination=203.0.113.9",
        "trace?source=web&destination=nosuch",
        "trace?source=web&destination=239.1.1.1",
        "ports?group=acme%2Fweb",
        "export",
        "networks",
        "networks/foo",
        "networks/foo/subnets",
        "ports",
        f"ports/{port['id']}",
        f"ports/{port['id']}/detail",
        "ports/nosuch/detail",
        "names",
        "lookup?name=web",
        "multicast",
        "multicast?network=foo",
        "multicast?network=nosuch",
        "networks/nosuch",
        "ports?network=nosuch",
        "ports?nosuch=1",
    ):
        described("GET", f"/v1/{path}")
    described("DELETE", "/v1/networks/foo")  # in use
    described("DELETE", "/v1/routers/r1/routes?prefix=10.77.0.0/16")
    described("DELETE", "/v1/routers/r1/routes?prefix=10.77.0.0/16")  # gone
    described("DELETE", "/v1/routers/r1/networks/foo")
    described("DELETE", "/v1/routers/r1/networks/foo")  # gone
    described("DELETE", "/v1/routers/r1")
    described("DELETE", "/v1/routers/r1")  # gone
    described("DELETE", "/v1/networks/foo/multicast-groups/239.1.1.1")
    described("DELETE", "/v1/networks/foo/multicast-groups/239.1.1.1")  # gone
    described("DELETE", "/v1/networks/foo/multicast-groups/nonsense")
    described("DELETE", "/v1/names/foo/n")
    described("DELETE", "/v1/networks/foo/host")
    described("DELETE", "/v1/attachments?target=web&network=foo")
    described("DELETE", f"/v1/ports/{port['id']}")
    described("PATCH", "/v1/networks/foo", {"name": "bar", "multicast": "flood"})
    described("DELETE", "/v1/networks/bar")
    described("DELETE", rule)
    described("DELETE", rule)  # gone
    described("DELETE", "/v1/groups/acme%2Fweb")
    described("DELETE", "/v1/tenants/default")  # it is always there
    described("DELETE", "/v1/tenants/acme")
    described("DELETE", "/v1/hosts/nobody")
    described("DELETE", "/v1/records/network/n1")  # nothing is wrong with it
    described("DELETE", "/v1/records/network/bad")
    described("DELETE", "/v1/hosts/" + "a" * 16)  # the host itself
    other = Host(id=HostId("b" * 16), name="h2")
    weftd.run(lambda: weftd.store.write([Put(other)]))
    described("GET", "/v1/why/h2")
    described("GET", "/v1/watch?since=nothing")  # an answer that ends
    described("GET", "/v1/watch?kind=nosuch")
    described("DELETE", "/v1/hosts/h2?force=true")
    described("PUT", "/v1/encryption", {"is_encrypted": False, "plain": ["10.9.0.0/24"]})
    described("PUT", "/v1/encryption", {"is_encrypted": True})  # this host cannot
    described("POST", "/v1/encryption/rotate")
    described("POST", "/v1/token/rotate")
    described("POST", "/v1/leave?force=true")
    described("POST", "/v1/shutdown")
    assert described.seen == {(route.method, route.path) for route in ROUTES}


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["10.9.0.0/24", "10.9.0.5", "foo", "::/0", "web", "0.0.0.0/0", "tcp"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


PLAUSIBLE: dict[str, list[str]] = {
    "cidr": ["10.9.0.0/24", "fd00:9::/64", "0.0.0.0/0", "240.0.0.0/4", "127.0.0.0/8", "::/0"],
    "gateway": ["10.9.0.1", "10.9.0.255", "fd00:9::1", "::"],
    "first": ["10.9.0.10", "10.9.0.0", "fd00:9::10", "0.0.0.0"],
    "last": ["10.9.0.20", "10.9.0.255", "fd00:9::20", "255.255.255.255"],
    "addresses": ["10.9.0.15", "10.9.0.16", "10.9.0.1", "fd00:9::15", "224.0.0.1", "::1"],
    "host_address": ["127.0.0.1", "::1", "0.0.0.0"],
    "mac": ["02:00:00:00:00:01", "02-00-00-00-00-02", "01:00:00:00:00:01", "0a:57:45:46:54:01"],
    "network": ["foo", "bar", "default/foo"],
    "target": ["web", "db", "/run/netns/x", "1"],
    "name": ["foo", "bar", "_http._tcp.web", "x" * 64],
    "names": ["web", "db", "WEB", "a.b", "-"],
    "services": ["0 0 80 web", "0 0 99999 web", "1 2 3"],
    "ifname": ["eth0", "lo", "x" * 16, "a/b"],
}


def body_for(struct: type) -> st.SearchStrategy[object]:
    """Objects with the fields of a request: some plausible, some nonsense."""
    description = describe([route for route in ROUTES if route.body is struct])
    schemas: Any = description["components"]
    return _value_for(schemas["schemas"][struct.__name__], schemas["schemas"], "")


def _value_for(schema: Any, schemas: Any, field: str) -> st.SearchStrategy[object]:
    if "$ref" in schema:
        return _value_for(schemas[schema["$ref"].rpartition("/")[2]], schemas, field)
    if "anyOf" in schema:
        return st.one_of([_value_for(one, schemas, field) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "object" if "properties" in schema:
            required = set(schema.get("required", ()))
            fields = {
                key: _value_for(one, schemas, key) for key, one in schema["properties"].items()
            }
            return st.fixed_dictionaries(
                {key: value for key, value in fields.items() if key in required},
                optional={key: value for key, value in fields.items() if key not in required},
            )
        case "array":
            return st.lists(_value_for(schema.get("items") or {}, schemas, field), max_size=2)
        case "integer":
            return st.integers(0, 70_000) | st.integers(-(2**70), 2**70)
        case "boolean":
            return st.booleans()
        case "string" if field in PLAUSIBLE:
            return st.sampled_from(PLAUSIBLE[field] * 4) | st.text(max_size=20)
        case "string":
            return st.text(max_size=20)
    return ANYTHING


BODIES = st.one_of(
    *(
        st.tuples(
            st.just(route),
            st.one_of(*[body_for(route.body)] * 9, ANYTHING),
        )
        for route in ROUTES
        if route.body is not None
    )
)


@given(request=BODIES)
@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_body_whatever_makes_weftd_fail(weftd: Weftd, request: tuple[Any, object]) -> None:
    route, body = request
    path = route.path.replace("{network}", "foo")
    exchange(
        weftd, "POST", "/v1/networks", b'{"name": "foo", "subnets": [{"cidr": "10.9.0.0/24"}]}'
    )
    status, answer = exchange(weftd, route.method, path, json.dumps(body).encode())
    assert status < 500 or status in (503, 507), answer
    if status >= 400:
        assert json.loads(answer)["error"]["message"]
    status, answer = exchange(weftd, "GET", "/v1/ports")
    assert status == 200, answer


@given(segments=st.lists(st.text(max_size=12), min_size=1, max_size=3), query=st.text(max_size=20))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_path_whatever_makes_weftd_fail(weftd: Weftd, segments: list[str], query: str) -> None:
    from urllib.parse import quote

    path = "/".join(quote(one, safe="") for one in segments)
    for start in ("/v1/", "/v1/networks/", "/v1/ports/"):
        for method in ("GET", "DELETE"):
            status, answer = exchange(weftd, method, f"{start}{path}?{quote(query)}")
            assert status < 500, answer
