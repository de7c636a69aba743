"""``python -m weft.daemon``."""

from __future__ import annotations

from weft.daemon.process import main

main()
