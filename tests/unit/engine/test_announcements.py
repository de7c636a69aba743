"""Which addresses have another MAC, who is told, and how fast."""

from __future__ import annotations

from collections import Counter

import pytest

from weft.engine.ebpf import announcements
from weft.engine.ebpf.announcements import Announcements
from weft.engine.ebpf.tables.addresses import AddressKey, AddressValue
from weft.model.addresses import ip_address

KEY = AddressKey(5, ip_address("10.5.0.2"))
OLD, NEW = "02:00:00:00:00:01", "02:00:00:00:00:02"
PORTS = {5: ["weft1", "weft2", "weft3"], 6: ["weft9"]}
FRAMES = 2
"""To each port, of an IPv4 address."""


def told(news: Announcements, now_s: float = 0.0) -> Counter[tuple[str, bytes]]:
    """(device, MAC) by frames."""
    sent: Counter[tuple[str, bytes]] = Counter()

    def send(ifname: str, frames: tuple[bytes, ...]) -> None:
        for frame in frames:
            sent[ifname, frame[6:12]] += 1

    news.tell(PORTS, send, now_s)
    return sent


def to(*ifnames: str, mac: str = NEW) -> dict[tuple[str, bytes], int]:
    return {(ifname, bytes.fromhex(mac.replace(":", ""))): FRAMES for ifname in ifnames}


def test_all_ports_of_the_network_hear_of_another_mac_but_its_own() -> None:
    news = Announcements()
    news.here(KEY, AddressValue(mac=NEW, ifname="weft2"), OLD)
    assert news.due_in_s(0.0) == 0.0
    assert told(news) == to("weft1", "weft3")
    assert not news.is_pending
    assert news.due_in_s(0.0) is None


def test_an_address_on_another_host_is_told_to_all() -> None:
    news = Announcements()
    news.here(KEY, AddressValue(mac=NEW, host=7), OLD)
    assert told(news) == to("weft1", "weft2", "weft3")


@pytest.mark.parametrize("former", [None, NEW])
def test_a_new_address_or_the_same_mac_is_no_news(former: str | None) -> None:
    news = Announcements()
    news.here(KEY, AddressValue(mac=NEW, ifname="weft2"), former)
    assert not news.is_pending


def test_what_an_address_had_before_it_went_is_remembered() -> None:
    news = Announcements()
    news.gone(KEY, OLD)
    assert not news.is_pending
    news.here(KEY, AddressValue(mac=NEW, host=7), None)
    assert told(news) == to("weft1", "weft2", "weft3")
    news.gone(KEY, NEW)
    news.here(KEY, AddressValue(mac=NEW, host=7), None)
    assert not news.is_pending


def test_the_last_news_counts() -> None:
    news = Announcements()
    news.here(KEY, AddressValue(mac=NEW, host=7), OLD)
    news.here(KEY, AddressValue(mac=OLD, host=7), NEW)
    assert told(news) == to("weft1", "weft2", "weft3", mac=OLD)
    news.here(KEY, AddressValue(mac=NEW, host=7), OLD)
    news.gone(KEY, NEW)
    assert not news.is_pending


def test_memory_is_bounded() -> None:
    news = Announcements()
    first = ip_address("10.0.0.0")
    for number in range(announcements.REMEMBERED + 1):
        news.gone(AddressKey(5, first + number), OLD)
    news.here(AddressKey(5, first), AddressValue(mac=NEW, host=7), None)
    assert not news.is_pending
    news.here(AddressKey(5, first + 1), AddressValue(mac=NEW, host=7), None)
    assert news.is_pending


def test_a_limit_holds_and_nothing_is_forgotten() -> None:
    news = Announcements()
    each = FRAMES * len(PORTS[5])
    count = 3 * announcements.BURST // each
    for number in range(count):
        key = AddressKey(5, KEY.address + number)
        news.here(key, AddressValue(mac=NEW, host=7), OLD)
    sent, now_s = 0, 0.0
    while news.is_pending:
        due_s = news.due_in_s(now_s)
        assert due_s is not None
        now_s += due_s
        sent += sum(told(news, now_s).values())
        assert sent <= announcements.BURST + now_s * announcements.FRAMES_PER_S + each
    assert sent == count * each
    assert now_s > 1.5
