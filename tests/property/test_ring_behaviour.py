"""What users of such systems ask of addresses without a central store."""

from __future__ import annotations

from ipaddress import ip_address

from msgspec.structs import replace

from tests.property.ring_world import TIMES, RingHost, RingWorld
from weft.ipam.lease import is_leased
from weft.ipam.ring import Need
from weft.model.records import AddressRange, LeaseVote


def use_all(host: RingHost) -> int:
    """Containers until there is nothing at hand; how many."""
    count = 0
    while free := host.free():
        host.allocate(free[0])
        count += 1
    return count


def test_a_host_alone_gives_all_at_once_and_goes_on_after_a_restart() -> None:
    world = RingWorld(1, 1, "10.0.0.0/24")
    (host,) = world.hosts
    assert len(host.free()) == 253
    host.allocate(host.free()[0])
    host.start(is_continued=False)
    assert len(host.free()) == 252
    assert not host.step(), "it has nothing to write either"


def test_ten_hosts_that_start_at_once_share_without_knowing_how_many_they_are() -> None:
    world = RingWorld(10, 1, "10.0.0.0/24")
    world.quiet()
    assert all(len(host.free()) >= 10 for host in world.hosts)
    assert sum(use_all(host) for host in world.hosts) == len(world.running)


def test_both_sides_of_a_partition_go_on_and_never_collide() -> None:
    world = RingWorld(4, 1, "10.0.0.0/25")
    world.quiet()
    world.partition([0, 0, 1, 1])
    for _ in range(40):
        world.now_s += 1.0
        world.spread()
        for host in world.live():
            host.step()
    assert all(use_all(host) >= 5 for host in world.hosts)
    world.check()


def test_a_dead_hosts_space_returns_by_itself() -> None:
    world = RingWorld(3, 1, "10.0.0.0/24")
    world.quiet()
    creator, _, third = world.hosts
    creator.is_up = False
    world.quiet()
    for _ in range(230):
        number = world.wait_for(third)
        assert number is not None
        third.allocate(number)


def test_a_dead_hosts_containers_keep_their_addresses_until_it_is_forgotten() -> None:
    world = RingWorld(3, 1, "10.0.0.0/28")
    world.quiet()
    creator, second, _ = world.hosts
    held = creator.free()[0]
    creator.allocate(held)
    world.spread()
    creator.is_up = False
    world.quiet()
    while (number := world.wait_for(second, 20.0)) is not None:
        assert number != held
        second.allocate(number)
    world.forget(creator, second)
    assert world.wait_for(second) is not None
    world.check()


def test_the_last_free_address_is_found_wherever_its_block_is() -> None:
    world = RingWorld(3, 1, "10.0.0.0/28")
    world.quiet()
    first, _, third = world.hosts
    while (number := world.wait_for(first, 20.0)) is not None:
        first.allocate(number)
    world.spread()
    (port, *_) = first.ports()
    first.release(port)
    world.spread()
    assert world.wait_for(third) == int(port.addresses[0])


def test_an_address_asked_for_comes_from_the_host_whose_it_is() -> None:
    world = RingWorld(3, 1, "10.0.0.0/24")
    world.quiet()
    host = world.hosts[2]
    address = ip_address("10.0.0.77")
    assert int(address) not in host.free()
    host.ring.needs.append(Need(world.subnet.id, address))
    world.quiet()
    assert int(address) in host.free()


def test_a_host_cut_off_is_fenced_and_goes_on_with_its_reserve() -> None:
    world = RingWorld(3, 1, "10.0.0.0/24")
    world.quiet()
    creator = world.hosts[0]
    world.partition([1, 0, 0])
    for _ in range(int(TIMES.fenced_after_s) + 2):
        creator.step()
        world.now_s += 1.0
    assert creator.ring.fenced_since_s is not None
    at_hand = creator.free()
    creator.ring.needs.append(Need(world.subnet.id, None))
    for _ in range(5):
        creator.step()
    assert creator.free() == at_hand, "nothing more before its quorum has heard of it"
    assert use_all(creator) == len(at_hand) > 1
    world.cuts.clear()
    world.quiet()
    assert creator.ring.fenced_since_s is None
    assert use_all(creator) > 0


def test_two_hosts_are_never_fenced_for_neither_can_take_from_the_other() -> None:
    world = RingWorld(2, 1, "10.0.0.0/24")
    world.quiet()
    world.partition([0, 1])
    world.now_s += 100 * TIMES.taken_after_s
    for host in world.hosts:
        host.step()
        assert host.ring.fenced_since_s is None
        assert not is_leased(host.store, host.id)
    assert use_all(world.hosts[0]) > 200
    assert use_all(world.hosts[1]) > 10
    world.check()


def test_a_host_restored_from_a_backup_gives_nothing_before_it_has_heard() -> None:
    world = RingWorld(3, 1, "10.0.0.0/24")
    world.quiet()
    first, second, _ = world.hosts
    backup = first.batches
    for _ in range(60):
        number = world.wait_for(second)
        assert number is not None
        second.allocate(number)
    world.spread()
    world.partition([1, 0, 0])
    world.restore(first, backup)
    for _ in range(60):
        first.step()
        world.now_s += 1.0
    assert first.free() == []
    world.quiet()
    assert first.free()
    world.check()


def test_a_host_that_dies_between_gift_and_receipt_leaves_no_address_to_two() -> None:
    world = RingWorld(3, 1, "10.0.0.0/26")
    world.quiet()
    creator, second, third = world.hosts
    second.ring.needs.append(Need(world.subnet.id, ip_address("10.0.0.40")))
    second.step()
    world.pass_on(second, creator)
    creator.step()
    world.pass_on(creator, second)
    creator.is_up = False
    world.quiet()
    use_all(second)
    use_all(third)
    world.check()


def test_gateways_and_excluded_addresses_are_nobodys_to_give() -> None:
    world = RingWorld(1, 1, "10.0.0.0/28")
    (host,) = world.hosts
    excludes = (AddressRange(first=ip_address("10.0.0.4"), last=ip_address("10.0.0.9")),)
    host.write([replace(world.subnet, excludes=excludes)])
    assert [number & 15 for number in host.free()] == [2, 3, 10, 11, 12, 13, 14]


def test_who_leaves_hands_over_what_it_owned() -> None:
    world = RingWorld(3, 1, "10.0.0.0/24")
    world.quiet()
    creator = world.hosts[0]
    creator.ring.is_leaving = True
    world.quiet()
    assert not creator.ring.is_holding(creator.store, world.subnet, world.now_s)
    creator.is_up = False
    world.forget(creator, world.hosts[1])
    world.check()


def test_a_host_given_up_by_mistake_comes_back_with_its_reserve() -> None:
    world = RingWorld(5, 1, "10.0.0.0/24")
    world.quiet()
    creator = world.hosts[0]
    held = creator.free()[0]
    creator.allocate(held)
    world.partition([1, 0, 0, 0, 0])
    for _ in range(60):
        world.now_s += 1.0
        world.spread()
        for host in world.live():
            host.step()
    votes = world.hosts[1].store.by(LeaseVote, "subject", creator.id)
    assert any(vote.decision is not None and vote.decision.heir for vote in votes)
    world.cuts.clear()
    world.quiet()
    assert world.running[held][0] == creator.id
    world.check()
