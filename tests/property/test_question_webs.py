"""Questions that ask each other in any way, circles included: remembered answers are fresh ones."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from weft.engine.compiler import Compiler
from weft.engine.rows import Row
from weft.model.ids import HostId, NetworkId, Vni
from weft.model.records import Host, Network
from weft.store.interface import Change, Put, QuestionError, View, question
from weft.store.memory import MemoryStore

COUNT = 7
ME = Host(id=HostId("h" * 16), name="one")


def web(number: int, value: int, asked: tuple[int, ...]) -> Network:
    """A question as a record: its own part of the answer, and whom it asks in turn."""
    return Network(
        id=NetworkId(f"n{number}"),
        name=f"v{value}",
        vni=Vni(number + 1),
        labels=tuple((str(place), f"n{each}") for place, each in enumerate(asked)),
    )


@question
def answer(id: str, view: View) -> int:
    """Who gets an even answer asks nobody else, so what is read depends on the answers."""
    network = view.get(Network, id)
    if network is None:
        return 0
    total = int(network.name[1:])
    for _, other in network.labels:
        total += view.ask(answer, other)
        if total % 2 == 0:
            break
    return total % 3


def rows(host: Host, view: View) -> Iterator[Row]:
    for number in range(COUNT):
        try:
            found: object = view.ask(answer, f"n{number}")
        except QuestionError:
            found = "none"
        yield Row("answers", number, str(found))


webs = st.builds(
    web,
    st.integers(0, COUNT - 1),
    st.integers(0, 3),
    st.lists(st.integers(0, COUNT - 1), max_size=3).map(tuple),
)
batches = st.lists(st.lists(webs.map(Put), min_size=1, max_size=3), min_size=3, max_size=12)


@given(batches)
@settings(max_examples=100, deadline=None)
def test_remembered_answers_equal_fresh_ones(batches: list[list[Change]]) -> None:
    store = MemoryStore([ME])
    compiler = Compiler({Host: rows}, store)
    for batch in batches:
        compiler.update(store.apply(batch))
        assert compiler.rows() == Compiler({Host: rows}, store).rows()
