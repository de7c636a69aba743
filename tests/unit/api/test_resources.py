"""Descriptions of nouns hold together, and say of values what control accepts."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.api.json_schema import components
from weft.api.resources.base import AnyResource
from weft.api.resources.table import RESOURCES
from weft.api.routes import ROUTES
from weft.control.references import check_dns_names, check_network_name, check_tenant_name
from weft.control.specs import DNS_NAME, NETWORK_NAME, TENANT_NAME
from weft.errors import InvalidError
from weft.store.memory import MemoryStore

EVERY = pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: one.noun)


def fields(form: type[msgspec.Struct]) -> set[str]:
    return set(form.__struct_fields__)


@EVERY
def test_its_routes_are_served(resource: AnyResource) -> None:
    methods = {"create": "POST", "ls": "GET", "set": "PATCH", "rm": "DELETE"}
    served = {route.method for route in ROUTES if route.path.startswith(f"/v1/{resource.plural}")}
    assert {methods[word] for word in resource.verbs if word != "inspect"} <= served


@EVERY
def test_its_options_and_what_it_says_of_documents_are_fields(resource: AnyResource) -> None:
    known = fields(resource.spec) | fields(resource.changes)
    assert {option.field.partition(".")[0] for option in resource.options} <= known
    assert set(resource.applied.identity) | set(resource.applied.fits) <= fields(resource.spec)
    assert {*resource.can_change(), "labels"} <= fields(resource.spec)
    assert hasattr(resource.record, "labels") or "labels" in fields(resource.record)
    assert resource.plural in fields(resource.listing)


@EVERY
def test_a_new_noun_finds_nothing_in_an_empty_store(resource: AnyResource) -> None:
    assert list(resource.applied.exported(MemoryStore())) == []


@EVERY
def test_its_patterns_are_those_of_every_language(resource: AnyResource) -> None:
    for schema in components([resource.spec, resource.changes], "#/{name}").values():
        assert r"\Z" not in str(schema)


def is_taken(check: object, name: str) -> bool:
    try:
        check([name] if check is check_dns_names else name)  # type: ignore[operator]
    except InvalidError:
        return False
    return True


NAMES = st.text(st.sampled_from("aZ09_-./ \n"), max_size=70) | st.text(max_size=5)
LONG = st.integers(190, 210).map(
    lambda length: ("a" * 49 + ".") * (length // 50) + "b" * (length % 50)
)


@pytest.mark.parametrize(
    ("pattern", "check"),
    [
        (NETWORK_NAME, check_network_name),
        (TENANT_NAME, check_tenant_name),
        (DNS_NAME, check_dns_names),
    ],
)
@given(name=NAMES | LONG)
def test_a_pattern_takes_what_control_takes(pattern: str, check: object, name: str) -> None:
    described = re.search(pattern, name) is not None and not name.endswith("\n")
    assert described == is_taken(check, name)


@pytest.mark.parametrize("pattern", [NETWORK_NAME, TENANT_NAME, DNS_NAME])
@given(data=st.data())
def test_what_a_pattern_makes_is_taken(pattern: str, data: st.DataObject) -> None:
    checks = {
        NETWORK_NAME: check_network_name,
        TENANT_NAME: check_tenant_name,
        DNS_NAME: check_dns_names,
    }
    name = data.draw(st.from_regex(pattern, fullmatch=True))
    assert is_taken(checks[pattern], name.rstrip("\n"))
