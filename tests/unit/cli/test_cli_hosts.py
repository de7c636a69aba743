"""Hosts of a cluster at the command line."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.cluster.fake_links import link
from tests.unit.cli.conftest import Weft
from tests.unit.conftest import Weftd
from weft.cli import leave as leave_module
from weft.cli import purge
from weft.cluster.inquiry import Answer, UnansweredError, Why
from weft.cluster.interface import Problem
from weft.cluster.remembered import Met, Remembered
from weft.cluster.secret import Secrets
from weft.config import Settings
from weft.control.answers.port_states import PortState, Tally
from weft.model.addresses import ip_address
from weft.model.ids import HostId, PortId
from weft.model.records import ForgottenHost, Host, Neighbour, Neighbours, Port
from weft.store.interface import Put

ME, B, C = HostId("a" * 16), HostId("b" * 16), HostId("c" * 16)
LONG = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff"


@pytest.fixture
def cluster(weftd: Weftd) -> Weftd:
    """A host that is linked to h2, and to which h3 is lost."""
    near = Neighbour(host_id=B, address=ip_address(LONG), path_mtu_bytes=9000)
    back = Neighbour(host_id=ME, address=ip_address("192.0.2.1"), path_mtu_bytes=9000)
    records = [
        Host(id=B, name="h2-with-quite-a-long-name", underlay=(ip_address(LONG),), version="0.1.0"),
        Host(id=C, name="h3", underlay=(ip_address("192.0.2.3"),), version="0.1.0"),
        Neighbours(id=ME, host_id=ME, neighbours=(near,)),
        Neighbours(id=B, host_id=B, neighbours=(back,)),
    ]
    weftd.run(lambda: weftd.store.write(map(Put, records)))
    weftd.members.links[B] = link(
        B, LONG, rtt_s=0.0123, clock_offset_s=0.2, since_s=time.time() - 90061
    )
    weftd.members.problems.append(
        Problem(
            address="192.0.2.3:6783",
            host_id=C,
            reason="nothing listens there",
            fix="is weftd running there?",
            at_s=1.0,
            is_outgoing=True,
        )
    )
    return weftd


def test_the_table_of_hosts_fits_and_says_what_to_do(cluster: Weftd, weft: Weft) -> None:
    text = weft("status", "hosts").out
    assert max(len(line) for line in text.splitlines()) <= 80
    for part in ("connected", "1 d 1 h", "12.3 ms", "9000", "direct", "plain", "+0.2 s"):
        assert part in text
    assert "lost" in text
    assert "h3: 192.0.2.3:6783: nothing listens there\n  is weftd running there?" in text
    shown = json.loads(weft("status", "hosts", "--json").out)["hosts"]
    assert [one["state"] for one in shown] == ["local", "connected", "lost"]
    assert "3, 1 not reached; see weft status hosts" in weft("status").out


def test_attempts_from_several_addresses_of_a_host_are_one_line(cluster: Weftd, weft: Weft) -> None:
    for address in ("192.0.2.9", "2001:db8::9"):
        cluster.members.problems.append(
            Problem(
                address=address,
                host_id=None,
                reason="it is of another cluster",
                fix="join it",
                at_s=1.0,
                is_outgoing=False,
            )
        )
    text = weft("status", "hosts").out
    assert "from 192.0.2.9, 2001:db8::9: it is of another cluster\n  join it" in text


def test_why_explains_and_its_exit_code_says_whether_it_is_reached(
    cluster: Weftd, weft: Weft
) -> None:
    near = weft("why", "h2-with-quite-a-long-name")
    assert near.code == 0
    assert "reached" in near.out
    far = weft("why", "h3")
    assert far.code == 1
    assert far.out.startswith("h3: not reached\n")
    assert "-> is weftd running there?" in far.out
    assert json.loads(weft("why", "h3", "--json").out)["is_reachable"] is False
    nobody = weft("why", "nobody")
    assert nobody.code == 1
    assert "neither a host nor a port" in nobody.err


def test_a_lost_host_is_forgotten_and_one_that_is_alive_by_force_alone(
    cluster: Weftd, weft: Weft
) -> None:
    alive = weft("forget", "bbbb")
    assert alive.code == 1
    assert "run weft leave there" in alive.err
    assert "is removed" in weft("forget", "h3").out
    assert weft("forget", "bbbb", "--force").code == 0
    assert {one.id for one in cluster.store.list(ForgottenHost)} == {B, C}


def test_leaving_tells_the_others_and_then_removes_all(
    cluster: Weftd, weft: Weft, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(leave_module, "stop", lambda settings: done.append("stopped"))

    def purged(settings: Settings) -> list[str]:
        done.append("purged")
        return []

    monkeypatch.setattr(purge, "purge_host", purged)
    ran = weft("leave")
    assert ran.code == 0
    assert "h1 has left its cluster" in ran.out
    assert done == ["stopped", "purged"]
    assert cluster.store.get(ForgottenHost, ME) is not None


def test_a_removed_host_says_so_in_its_own_status(cluster: Weftd, weft: Weft) -> None:
    cluster.members.is_removed = True
    assert "was removed from its cluster" in weft("status").out
    assert "weft leave" in weft("status", "hosts").out
    assert weft("status", "problems").code == 1


def test_the_token_is_read_from_its_file(folder: Path, weft: Weft) -> None:
    missing = weft("token", "show")
    assert missing.code == 1
    assert "run: weft up" in missing.err
    secrets = Secrets.found(folder / "state", os.urandom, 1000.0)
    assert weft("token", "show").out == f"{secrets.token()}\n"
    assert json.loads(weft("token", "show", "--json").out) == {"token": secrets.token()}


def test_rotating_names_the_hosts_that_do_not_know_yet(cluster: Weftd, weft: Weft) -> None:
    rotated = weft("token", "rotate")
    assert rotated.code == 0
    assert cluster.members.rotations == 1
    assert json.loads(weft("token", "rotate", "--json").out)["is_rotating"] is False


def test_a_record_that_cannot_be_used_is_removed(weftd: Weftd, weft: Weft) -> None:
    assert weft("mend", "network", "bad").out == "network bad is removed\n"
    assert weftd.records.mended == [("network", "bad")]
    sound = weft("mend", "network", "n1")
    assert sound.code == 1
    assert "not among those that cannot be used" in sound.err


def test_a_purge_names_the_hosts_that_were_not_told(
    folder: Path, weft: Weft, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "purge_host", lambda settings: [])
    assert "weft forget" not in weft("down", "--purge").out
    Remembered(folder / "state").update(hosts={B: Met(name="h2")})
    text = weft("down", "--purge").out
    assert "hosts of its cluster (h2) were not told" in text
    assert "weft forget h1" in text


def far_port(weftd: Weftd) -> Port:
    """A port of h2 on network foo."""
    near = next(port for port in weftd.store.list(Port) if "box" in port.names)
    far = replace(near, id=PortId("5" * 16), host_id=B, names=("db",), addresses=())
    weftd.run(lambda: weftd.store.write([Put(Host(id=B, name="h2")), Put(far)]))
    return far


def test_counters_of_all_hosts_name_host_and_who_does_not_tell(busy: Weft, weftd: Weftd) -> None:
    far = far_port(weftd)
    tally = Tally(10, 600, 20, 1200, {"isolated": 7})
    weftd.others.answers = {
        B: Answer([PortState(far.id, tally)], is_whole=True),
        C: UnansweredError(Why.LATE, "no answer within 5 s"),
    }
    assert "db" not in busy("status", "ports").out
    lines = busy("status", "ports", "--all").out.splitlines()
    assert lines[0].split()[:3] == ["PORT", "HOST", "NETWORK"]
    assert any(line.split()[:3] == ["db", "h2", "foo"] and "7 isolated" in line for line in lines)
    assert lines[-1].startswith(f"not told by host {C}: ask host")
    assert "no answer within 5 s; see weft status hosts" in lines[-1]


def test_a_port_of_another_host_is_inspected_there(busy: Weft, weftd: Weftd) -> None:
    far = far_port(weftd)
    ran = busy("port", "inspect", "db")
    assert ran.code == 0 and ran.out.startswith("port db on foo\n")
    assert "not known: ask host" in ran.out
    state = PortState(far.id, Tally(10, 600, 20, 1200, {"isolated": 7}), ("no netns",))
    weftd.others.answers = {B: Answer([state], is_whole=True)}
    out = busy("port", "inspect", "db").out
    for part in ("10 packets, 600 B", "20 packets, 1.2 kB", "7 isolated", "no netns", "failed"):
        assert part in out
    assert json.loads(busy("port", "inspect", "db", "--json").out)["counters"]["host"] == "h2"
