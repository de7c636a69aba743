"""What the API answers: one struct an answer, of its own, so that records may change beneath it.

These forms are stable: fields are added, never renamed, removed or given another meaning
(docs/json.md). Addresses and prefixes are text. Times are Unix seconds. Lists come inside an
object, so that facts about the list can be added. What the API is asked is `weft.control.specs`
and, where a request has no spec of its own, a struct beside what it is about.
"""

from __future__ import annotations

from weft.api.schema.base import Answer, Scalar
from weft.api.schema.counters import (
    CountersInfo,
    CountersList,
    CountersQuery,
    PortDetail,
    UnansweredInfo,
)
from weft.api.schema.encryption import EncryptedHostInfo, EncryptionInfo, EncryptRequest, KeyInfo
from weft.api.schema.flows import (
    FlowEnd,
    FlowInfo,
    FlowLine,
    FlowList,
    FlowRule,
    FlowsQuery,
    FlowsWatchQuery,
    FlowTableInfo,
)
from weft.api.schema.groups import (
    GroupDetail,
    GroupInfo,
    GroupList,
    GroupMember,
    GroupQuery,
    RuleInfo,
    RuleList,
    RuleRequest,
)
from weft.api.schema.hosts import AttemptInfo, HostInfo, HostList, LeaveInfo, RotationInfo, WhyInfo
from weft.api.schema.ipam import IpamInfo, LeaseInfo, ShareInfo, SubnetShares
from weft.api.schema.multicast import (
    MulticastGroupInfo,
    MulticastGroupList,
    MulticastGroupRequest,
    MulticastMember,
    RemoveMulticastGroupQuery,
)
from weft.api.schema.names import (
    LookupInfo,
    LookupQuery,
    LookupRecord,
    NameInfo,
    NameList,
    RemoveNameQuery,
)
from weft.api.schema.networks import (
    ExposeRequest,
    NetworkDetail,
    NetworkInfo,
    NetworkList,
    RangeInfo,
    SubnetInfo,
    SubnetList,
)
from weft.api.schema.policy import (
    JudgedEnd,
    JudgementInfo,
    PolicyTestInfo,
    PolicyTestQuery,
)
from weft.api.schema.ports import (
    AllowedInfo,
    DetachQuery,
    DeviceInfo,
    OwnerInfo,
    PortInfo,
    PortList,
    PortRequest,
    PublishedInfo,
    PublishRequest,
)
from weft.api.schema.queries import Empty, ForceQuery, NetworkQuery, PortQuery
from weft.api.schema.routers import (
    ConnectionInfo,
    RouteInfo,
    RouteQuery,
    RouterInfo,
    RouterList,
)
from weft.api.schema.status import (
    Accepted,
    ConflictInfo,
    ConflictList,
    FactsInfo,
    Problem,
    ProblemList,
    ReconcileInfo,
    StatusInfo,
    StoreInfo,
)
from weft.api.schema.traces import TraceInfo, TraceLeg, TraceQuery, TraceStage
from weft.api.schema.watch import WatchLine, WatchQuery
from weft.control.specs import NetworkChanges, PortChanges

__all__ = [
    "Accepted",
    "AllowedInfo",
    "Answer",
    "AttemptInfo",
    "ConflictInfo",
    "ConflictList",
    "ConnectionInfo",
    "CountersInfo",
    "CountersList",
    "CountersQuery",
    "DetachQuery",
    "DeviceInfo",
    "Empty",
    "EncryptRequest",
    "EncryptedHostInfo",
    "EncryptionInfo",
    "ExposeRequest",
    "FactsInfo",
    "FlowEnd",
    "FlowInfo",
    "FlowLine",
    "FlowList",
    "FlowRule",
    "FlowTableInfo",
    "FlowsQuery",
    "FlowsWatchQuery",
    "ForceQuery",
    "GroupDetail",
    "GroupInfo",
    "GroupList",
    "GroupMember",
    "GroupQuery",
    "HostInfo",
    "HostList",
    "IpamInfo",
    "JudgedEnd",
    "JudgementInfo",
    "KeyInfo",
    "LeaseInfo",
    "LeaveInfo",
    "LookupInfo",
    "LookupQuery",
    "LookupRecord",
    "MulticastGroupInfo",
    "MulticastGroupList",
    "MulticastGroupRequest",
    "MulticastMember",
    "NameInfo",
    "NameList",
    "NetworkChanges",
    "NetworkDetail",
    "NetworkInfo",
    "NetworkList",
    "NetworkQuery",
    "OwnerInfo",
    "PolicyTestInfo",
    "PolicyTestQuery",
    "PortChanges",
    "PortDetail",
    "PortInfo",
    "PortList",
    "PortQuery",
    "PortRequest",
    "Problem",
    "ProblemList",
    "PublishRequest",
    "PublishedInfo",
    "RangeInfo",
    "ReconcileInfo",
    "RemoveMulticastGroupQuery",
    "RemoveNameQuery",
    "RotationInfo",
    "RouteInfo",
    "RouteQuery",
    "RouterInfo",
    "RouterList",
    "RuleInfo",
    "RuleList",
    "RuleRequest",
    "Scalar",
    "ShareInfo",
    "StatusInfo",
    "StoreInfo",
    "SubnetInfo",
    "SubnetList",
    "SubnetShares",
    "TraceInfo",
    "TraceLeg",
    "TraceQuery",
    "TraceStage",
    "UnansweredInfo",
    "WatchLine",
    "WatchQuery",
    "WhyInfo",
]
