"""weft encrypt."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

import pytest
from msgspec.structs import replace

from tests.unit.cli.conftest import Weft
from tests.unit.conftest import PUBLIC_KEY, Weftd
from weft.cli import encrypt
from weft.model.choices import EncryptionStage
from weft.model.ids import HostId
from weft.model.records import Cluster, Host, HostKeys
from weft.store.interface import Change, Delete, Put

ID = HostId("a" * 16)
END = HostKeys(id=ID, host_id=ID, public_key=PUBLIC_KEY, port=6783)


def write(weftd: Weftd, *ends: HostKeys | None) -> None:
    changes: list[Change] = []
    for number, end in enumerate(ends):
        id, address = HostId("ab"[number] * 16), IPv4Address(f"192.0.2.{number + 1}")
        changes.append(Put(Host(id=id, name=f"h{number + 1}", underlay=(address,))))
        keys = None if end is None else replace(end, id=id, host_id=id)
        changes.append(Delete(HostKeys, id) if keys is None else Put(keys))
    weftd.run(lambda: weftd.store.write(changes))


def test_it_is_turned_on_and_says_what_is_waited_for(
    weftd: Weftd, weft: Weft, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encrypt, "PATIENCE_S", 0.05)
    write(weftd, END, END)

    ran = weft("encrypt", "on", "--plain", "10.9.0.0/24")

    assert ran.code == 0
    assert "encryption: on, not through yet" in ran.out
    assert "is a firewall between?" in ran.out
    assert "10.9.0.0/24" in ran.out
    told = json.loads(weft("encrypt", "status", "--json").out)
    assert told["is_encrypted"] and not told["is_settled"]
    assert [host["stage"] for host in told["hosts"]] == ["off", "off"]


def test_exceptions_stay_until_they_are_taken_back(
    weftd: Weftd, weft: Weft, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encrypt, "PATIENCE_S", 0.05)
    write(weftd, None)
    assert weft("encrypt", "off").code == 0
    made = Cluster(is_encrypted=False, plain_underlays=(), encryption_id="x")
    weftd.run(lambda: weftd.store.write([Put(made)]))
    there = HostKeys(id=ID, host_id=ID, public_key=PUBLIC_KEY, port=6783, follows="x")
    write(weftd, there)
    assert weft("encrypt", "on", "--plain", "10.9.0.0/24").code == 0
    assert weft("encrypt", "off").code == 0
    assert json.loads(weft("encrypt", "status", "--json").out)["plain"] == ["10.9.0.0/24"]


def test_who_cannot_encrypt_is_named(weftd: Weftd, weft: Weft) -> None:
    write(weftd, END, None)

    ran = weft("encrypt", "on")

    assert ran.code == 1
    assert "host h2 cannot encrypt" in ran.err
    assert "cannot" in weft("encrypt", "status").out


def test_new_keys_are_shown_by_the_public_one(weftd: Weftd, weft: Weft) -> None:
    assert PUBLIC_KEY in weft("encrypt", "rotate").out


def test_a_host_on_its_way_is_shown_so(weftd: Weftd, weft: Weft) -> None:
    moving = HostKeys(
        id=ID, host_id=ID, public_key=PUBLIC_KEY, port=6783, stage=EncryptionStage.ACCEPTS
    )
    write(weftd, moving)

    assert "accepts (on its way)" in " ".join(weft("encrypt", "status").out.split())


def test_exceptions_are_either_given_or_taken_back(weft: Weft) -> None:
    assert weft("encrypt", "on", "--plain", "10.9.0.0/24", "--no-plain").code == 2
