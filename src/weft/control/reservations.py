"""Reservations: addresses that are out of a subnet and no port's, or at rest after one had them."""

from __future__ import annotations

from weft.control.addresses import Addresses
from weft.control.context import Context
from weft.errors import NotFoundError
from weft.model.addresses import IPAddress
from weft.model.choices import ReservationReason
from weft.model.ids import SubnetId, reservation_id
from weft.model.records import Reservation, Subnet
from weft.store.interface import Change, Delete, Put


class Reservations:
    """This host's reservations."""

    def __init__(self, context: Context, addresses: Addresses) -> None:
        self._context = context
        self._addresses = addresses

    async def reserve(
        self,
        subnet_id: SubnetId,
        address: IPAddress | None,
        reason: ReservationReason,
        lifetime_s: float | None = None,
    ) -> Reservation:
        """Take one address (None: any free one) out of a subnet until it is released, or until
        `lifetime_s` is over.

        `reason`: ``gateway`` or ``docker``. ConflictError names the holder of an address that is
        taken. A later `Ports.add` with this address takes the reservation over.
        """

        async def attempt() -> Reservation:
            subnet = self._context.view.get(Subnet, subnet_id)
            if subnet is None:
                raise NotFoundError(f"address pool {subnet_id}: not found")
            given = self._addresses.choose([subnet]) if address is None else address
            if address is not None and not (
                reason is ReservationReason.GATEWAY and address == subnet.gateway
            ):
                self._addresses.check_free(address, [subnet])
            reservation = Reservation(
                id=reservation_id(subnet.id, given),
                subnet_id=subnet.id,
                host_id=self._context.host_id,
                address=given,
                reason=reason,
                expires_s=None if lifetime_s is None else self._context.wall_s() + lifetime_s,
            )
            await self._context.commit([Put(reservation)])
            return reservation

        return await self._addresses.with_space(attempt)

    async def release(self, subnet_id: SubnetId, address: IPAddress) -> None:
        """Give a reservation back; the address goes to rest. Nothing happens if nothing holds the
        address, or a port does."""
        async with self._context.lock:
            held = self._context.view.get(Reservation, reservation_id(subnet_id, address))
            if held is None or held.reason is ReservationReason.REST:
                return
            subnet = self._context.view.get(Subnet, subnet_id)
            rest = self.rest(subnet, address) if subnet is not None else []
            await self._context.commit([Delete(Reservation, held.id), *rest])

    async def wake_rested(self) -> None:
        """Drop the reservations whose rest, or whose lifetime, is over."""
        async with self._context.lock:
            now = self._context.wall_s()
            over = [
                Delete(Reservation, reservation.id)
                for reservation in self._context.view.list(Reservation)
                if reservation.host_id == self._context.host_id
                and reservation.expires_s is not None
                and reservation.expires_s <= now
            ]
            if over:
                await self._context.store.write(over)

    def take_over(self, subnet: Subnet, address: IPAddress) -> list[Change]:
        """The changes that free an address of its reservation as a port comes to hold it."""
        held = self._context.view.get(Reservation, reservation_id(subnet.id, address))
        is_own = held is not None and held.host_id == self._context.host_id
        return [Delete(Reservation, held.id)] if held is not None and is_own else []

    def rest(self, subnet: Subnet, address: IPAddress) -> list[Change]:
        """The changes that put an address to rest."""
        rest_s = self._context.settings.rest_s
        if rest_s <= 0:
            return []
        return [
            Put(
                Reservation(
                    id=reservation_id(subnet.id, address),
                    subnet_id=subnet.id,
                    host_id=self._context.host_id,
                    address=address,
                    reason=ReservationReason.REST,
                    expires_s=self._context.wall_s() + rest_s,
                )
            )
        ]

    def all_of(self, subnet: Subnet) -> list[Change]:
        """The changes that remove all reservations of a subnet that goes."""
        held = self._context.view.by(Reservation, "subnet_id", subnet.id)
        return [Delete(Reservation, reservation.id) for reservation in held]
