"""What this host answers when others ask it (`cluster.ask`)."""

from __future__ import annotations

import time

from weft.cluster.ask import Ask
from weft.control.answers.port_states import PORT_STATES, PortStates
from weft.engine.engine import Engine
from weft.model.ids import HostId
from weft.store.interface import View


def know_inquiries(ask: Ask, view: View, host_id: HostId, engine: Engine) -> None:
    """Give each inquiry its handler."""
    ask.know(PORT_STATES, PortStates(view, host_id, engine, time.monotonic).answer)
