"""How long fuzz tests go on, and where they begin.

`make test`: a few seeds, the same ones each time. `make fuzz MINUTES=10`: new ones, for that long
altogether. `WEFT_FUZZ_SEED=…`: that one.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator

_S = os.environ.get("WEFT_FUZZ_S")
_SEED = os.environ.get("WEFT_FUZZ_SEED")
DURATION_S = float(_S or "4")
"""Of one test, as far as it is not to be one seed's."""


def seeds(usual: int) -> Iterator[int]:
    """Those to be tried one after the other; `usual`: how many in `make test`."""
    if _SEED is not None:
        yield int(_SEED)
    elif _S is None:
        yield from range(1, usual + 1)
    else:
        end = time.monotonic() + DURATION_S
        while time.monotonic() < end:
            yield random.randrange(2**32)


def seed() -> int:
    """For a test that has one."""
    return next(seeds(1))


def is_one_seed() -> bool:
    """Whether somebody asked for one."""
    return _SEED is not None
