"""What weftd mends by itself is told for a while, and then no more."""

from __future__ import annotations

from weft.control.notices import Notices
from weft.engine.plumbing.host_settings import Mended
from weft.observers.host.mended_settings import KEEP_S, MendedSettings


def test_a_mended_setting_is_told_until_it_was_left_alone_for_a_while() -> None:
    now_s = [1000.0]
    notices = Notices()
    settings = MendedSettings(notices, lambda: now_s[0])
    settings.tell([])
    assert not notices.list()
    once = Mended("net/ipv4/ip_forward", "0", "1", 1000.0, 1)
    settings.tell([once])
    [notice] = notices.list()
    assert (notice.kind, notice.name) == ("setting", "net.ipv4.ip_forward")
    assert "set it to 0" in notice.reason and "ip_forward" in notice.fix
    again = once._replace(at_s=1300.0, times=2)
    now_s[0] = 1000.0 + KEEP_S + 1
    settings.tell([again])
    assert "2 times" in notices.list()[0].reason
    now_s[0] = 1300.0 + KEEP_S
    settings.tell([again])
    assert not notices.list()
