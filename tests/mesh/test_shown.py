"""Which of several entries is shown, whatever the order in which a host hears of them."""

from __future__ import annotations

from weft.etcd.known import Known
from weft.model import codec
from weft.model.addresses import ip_address
from weft.model.choices import ReservationReason
from weft.model.ids import HostId, ReservationId, SubnetId
from weft.model.records import Reservation
from weft.store.draft import Draft
from weft.store.entry import Key
from weft.store.memory import RecordSet
from weft.store.shown import Shown

A, B = HostId("a" * 16), HostId("b" * 16)


def reservation(host: HostId) -> Reservation:
    return Reservation(
        id=ReservationId("r1"),
        subnet_id=SubnetId("s1"),
        host_id=host,
        address=ip_address("192.0.2.1"),
        reason=ReservationReason.REST,
    )


def test_a_write_that_waited_for_etcd_gives_way_to_a_later_one_that_was_heard_of_before() -> None:
    known, records = Known(A), RecordSet()
    shown = Shown(known, records)
    draft = Draft("reservation", "r1", codec.encode(reservation(A)), True)
    (waiting,) = known.compose([draft])
    records.apply(shown.changes(known.take([waiting])))
    assert records.get(Reservation, "r1") == reservation(A)
    theirs = Key("reservation", "r1", B)
    records.apply(shown.changes(known.accept(theirs, codec.encode(reservation(B)), 6)))
    assert records.get(Reservation, "r1") == reservation(A)
    known.arrived(waiting, 5)
    records.apply(shown.changes([waiting.key]))
    assert records.get(Reservation, "r1") == reservation(B)
    records.apply(shown.changes(known.accept(theirs, None, 7)))
    assert records.get(Reservation, "r1") == reservation(A)
