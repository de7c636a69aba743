"""The part of ``make demo`` that shows tenants, routers and rules: two tenants have the same shop,
with the same addresses on the same hosts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from weft.lab.host import LabHost
from weft.lab.stage import Stage

TENANTS = ("acme", "globex")
"""The file says the first; the others have the same."""
_FILE = Path(__file__).parent / "files/shop.yaml"
_REFUSED = "Connection refused"


class Tier(NamedTuple):
    """A container of each tenant's, which serves a page that says whose it is."""

    network: str
    container: str
    address: str
    port: int


WEB = Tier("front", "web", "10.10.1.10", 80)
API = Tier("app", "api", "10.10.2.10", 8080)
STORE = Tier("data", "db", "10.10.3.10", 5432)


def run(stage: Stage, hosts: Sequence[LabHost]) -> None:
    """All steps; UnavailableError at the first that fails."""
    first = hosts[0]
    for tenant in TENANTS:
        file = _written(first, tenant)
        stage.show(first, f"weft apply -f {file}")
    stage.show(first, "weft network ls")
    for tenant in TENANTS:
        for tier, host in _places(hosts):
            _make(stage, host, tenant, tier)
    for tenant in TENANTS:
        for tier, _ in _places(hosts):
            _await_member(stage, first, tenant, tier)
        _prove_paths(stage, hosts, tenant)
    stage.show(first, f"weft flows --all --since 1m --port {TENANTS[0]}-{API.container}")
    web, store = (f"{TENANTS[0]}-{tier.container}" for tier in (WEB, STORE))
    stage.prove_refusal(
        first,
        "which rule it was",
        f"weft policy test {web} {store} --tcp {STORE.port}",
        "reject ingress tcp",
    )


def _places(hosts: Sequence[LabHost]) -> Iterator[tuple[Tier, LabHost]]:
    """As far apart as may be."""
    for number, tier in enumerate((WEB, API, STORE)):
        yield tier, hosts[number % len(hosts)]


def _written(host: LabHost, tenant: str) -> str:
    """The tenant's file, as the host sees it."""
    text = _FILE.read_text().replace(TENANTS[0], tenant)
    (host.layout.run / f"{tenant}.yaml").write_text(text)
    return f"/run/{tenant}.yaml"


def _make(stage: Stage, host: LabHost, tenant: str, tier: Tier) -> None:
    network, name = f"{tier.network}.{tenant}", f"{tenant}-{tier.container}"
    stage.wait(f"network {network} on {host.name}", lambda: stage.has(host, "network", network))
    page = f"the {tier.container} of {tenant}"
    serve = f"mkdir -p /page; echo {page} > /page/index.html; httpd -f -p {tier.port} -h /page"
    stage.make_container(
        host,
        name,
        f"docker run -d --net={network} --ip={tier.address} --label tier={tier.network} "
        f"--name={name} busybox sh -c '{serve}'",
    )


def _await_member(stage: Stage, host: LabHost, tenant: str, tier: Tier) -> None:
    """Docker tells a container's labels once it runs, and by them it is in its group."""
    members = ["weft", "port", "ls", "--group", f"{tenant}/{tier.network}", "--json"]
    name = f"{tenant}-{tier.container}"
    stage.wait(f"{name} in its group", lambda: name in host.run(members))


def _prove_paths(stage: Stage, hosts: Sequence[LabHost], tenant: str) -> None:
    on = dict(_places(hosts))
    for one, other in ((WEB, API), (API, STORE)):
        what = f"{tenant}: from {one.container} to {other.container}, through the router"
        page = f"the {other.container} of {tenant}"
        stage.prove(on[one], what, _ask(tenant, one, other), page)
    what = f"{tenant}: not from {WEB.container} to {STORE.container}"
    stage.prove_refusal(on[WEB], what, _ask(tenant, WEB, STORE), _REFUSED)


def _ask(tenant: str, one: Tier, other: Tier) -> str:
    page = f"http://{other.address}:{other.port}/"
    return f"docker exec {tenant}-{one.container} wget -q -O - {page}"
