from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.strategies import records
from weft.errors import InvalidError
from weft.model import codec
from weft.model.records import KINDS, Record


@given(records)
def test_a_record_survives_the_round_trip(record: Record) -> None:
    assert codec.decode(record.KIND, codec.encode(record)) == record


@given(
    st.sampled_from([kind.KIND for kind in KINDS]),
    st.binary(max_size=64).filter(lambda data: data.strip() != b"{}"),  # a Cluster as it begins
)
def test_rubbish_is_refused_in_words(kind: str, data: bytes) -> None:
    with pytest.raises(InvalidError, match=kind):
        codec.decode(kind, data)


@given(records, st.data())
def test_a_field_of_another_type_is_named(record: Record, data: st.DataObject) -> None:
    fields = json.loads(codec.encode(record))
    field = data.draw(st.sampled_from(sorted(type(record).__struct_fields__)))
    fields[field] = [["not this"]]
    with pytest.raises(InvalidError, match=field):
        codec.decode(record.KIND, json.dumps(fields).encode())
