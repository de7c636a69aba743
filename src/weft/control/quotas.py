"""Quotas: how much a tenant may have. Asked by whatever makes something of a tenant's, in its turn.

What other hosts make in the same moment is not known here, so two hosts may together go past a
quota by what they make before they hear of each other; neither makes more after that.
"""

from __future__ import annotations

from weft.errors import ExhaustedError
from weft.model.ids import TenantId
from weft.model.records import Tenant
from weft.semantics.tenants import Use, tenant_name, use_of
from weft.store.interface import View


def check_quota(view: View, tenant_id: TenantId, more: Use) -> None:
    """ExhaustedError: a tenant would have more of something than its quota says, if it got `more`.

    What it gets none of may be past its quota already, which stops nothing. Linear in the tenant's
    ports where it has a quota, else constant.
    """
    tenant = view.get(Tenant, tenant_id)
    quota = tenant.quota if tenant is not None else None
    if quota is None:
        return
    used = use_of(view, tenant_id)
    for what, count in more._asdict().items():
        limit: int | None = getattr(quota, what)
        present: int = getattr(used, what)
        if count and limit is not None and present + count > limit:
            name = tenant_name(view, tenant_id)
            raise ExhaustedError(
                f"tenant {name}: its quota is {limit} {what}, and it has {present}; remove "
                f"some, or give it more: weft tenant set {name} --{what} {present + count}"
            )
