"""In which security groups containers are: those that the label `GROUPS` of their ports names.
Pure.

The label stays on the port, so a group that is not there yet is found when it comes.
"""

from __future__ import annotations

from collections.abc import Iterator

from weft.control.group_references import find_group_of
from weft.control.notices import Notice
from weft.control.port_owners import GROUPS
from weft.control.references import port_label
from weft.errors import WeftError
from weft.frontends.docker.options import group_names
from weft.frontends.docker.reconcile.actions import Action, GroupPort, TakeBack, Tell
from weft.frontends.docker.reconcile.facts import DockerFacts, Memory
from weft.frontends.docker.records import DockerRecords
from weft.model.ids import GroupId
from weft.model.records import Network, Port
from weft.semantics.tenants import tenant_name

SOURCE = "docker groups"
MAX_GROUPS = 64


def group_ports(_: DockerFacts, records: DockerRecords, memory: Memory) -> Iterator[Action]:
    """Let ports of containers name the groups that their label says."""
    labelled = {}
    for port in records.ports():
        text = dict(port.labels).get(GROUPS)
        if text is not None:
            labelled[port.id] = port
            yield from _group(port, text, records, memory)
    for source, id in memory.told:
        if source == SOURCE and id not in labelled:
            yield TakeBack(SOURCE, id)


def _group(port: Port, text: str, records: DockerRecords, memory: Memory) -> Iterator[Action]:
    network = records.view.get(Network, port.network_id)
    if network is None:
        return
    names = group_names(text)
    found: set[GroupId] = set()
    faults = []
    for name in names[:MAX_GROUPS]:
        try:
            found.add(find_group_of(records.view, name, network.tenant_id).id)
        except WeftError as error:
            faults.append(str(error))
    if len(names) > MAX_GROUPS:
        faults.append(f"{len(names)} groups are named, and {MAX_GROUPS} is the most")
    groups = tuple(sorted(found))
    if groups != port.groups:
        yield GroupPort(port.id, groups)
    told = memory.told.get((SOURCE, port.id))
    notice = _notice(port, network, faults, records) if faults else None
    if notice is not None and notice != told:
        yield Tell(SOURCE, notice)
    elif notice is None and told is not None:
        yield TakeBack(SOURCE, port.id)


def _notice(port: Port, network: Network, faults: list[str], records: DockerRecords) -> Notice:
    label = port_label(records.view, port)
    tenant = tenant_name(records.view, network.tenant_id)
    prefix = "" if tenant == "default" else f"{tenant}/"
    return Notice(
        kind="port",
        id=port.id,
        name=label,
        reason=f"is not in every group that its label {GROUPS} names: " + "; ".join(faults[:3]),
        fix=f"weft group create {prefix}NAME, or make the container with another label",
    )
