"""One lab for all scenes. A few of them stand at a time, so that several tenants have the same
addresses on the same hosts; one that nobody has asked for lately makes room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.performance import Performance
from tests.conformance.scenes import Placement, Scene
from tests.conformance.troupe import Troupe

STANDING = 3
Staged = Callable[[Scene, Placement], Performance]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Behaviours of one scene follow each other; scenes, and behaviours in them, stay shuffled."""
    order: dict[object, int] = {}
    for item in items:
        order.setdefault(_scene_of(item), len(order))
    items.sort(key=lambda item: order[_scene_of(item)])


@pytest.fixture(scope="session")
def troupe(request: pytest.FixtureRequest) -> Iterator[Troupe]:
    made = Troupe(request.config.getoption("--engine"))
    try:
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture(scope="session")
def staged(troupe: Troupe) -> Iterator[Staged]:
    """Makes scenes, and removes them."""
    standing: OrderedDict[tuple[str, Placement], Performance] = OrderedDict()

    def stage(scene: Scene, placement: Placement) -> Performance:
        key = scene.scene, placement
        if key not in standing:
            if len(standing) == STANDING:
                standing.popitem(last=False)[1].end()
            performance = Performance(scene, placement, troupe)
            performance.begin()
            standing[key] = performance
        standing.move_to_end(key)
        return standing[key]

    yield stage
    for performance in standing.values():
        performance.end()


def _scene_of(item: pytest.Item) -> object:
    """What belongs together; of the tests of other folders, all."""
    callspec = getattr(item, "callspec", None)
    if callspec is None or not item.path.is_relative_to(Path(__file__).parent):
        return None
    case = callspec.params.get("case")
    return None if case is None else (case.scene.scene, case.placement)
