"""Which rules of others may drop what is Weft's: no more and no fewer than doctor says."""

from __future__ import annotations

import subprocess

import pytest

from weft.engine.plumbing.foreign_chains import doubtful_chains
from weft.kernel.nftables import Nftables

pytestmark = pytest.mark.root

FIREWALLD = """
chain filter_INPUT { type filter hook input priority filter + 10; policy accept;
  ct state { established, related } accept
  ct status dnat accept
  iifname "lo" accept
  jump filter_INPUT_POLICIES_pre
  jump filter_INPUT_ZONES
  ct state invalid drop
  reject with icmpx admin-prohibited
}
chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept;
  ct state { established, related } accept
  ct status dnat accept
  iifname "lo" accept
  ip6 daddr { ::/96, 2002::/16 } reject with icmpv6 addr-unreachable
  jump filter_FORWARD_ZONES
  ct state invalid drop
  reject with icmpx admin-prohibited
}
chain filter_OUTPUT { type filter hook output priority filter + 10; policy accept;
  ct state { established, related } accept
  oifname "lo" accept
  ip6 daddr { ::/96, 2002::/16 } reject with icmpv6 addr-unreachable
}
chain filter_INPUT_POLICIES_pre { jump filter_IN_policy_allow-host-ipv6; }
chain filter_IN_policy_allow-host-ipv6 { icmpv6 type nd-redirect accept; }
"""
PUBLIC = """
chain filter_IN_public { tcp dport 22 accept; meta l4proto { icmp, ipv6-icmp } accept
  reject with icmpx admin-prohibited; }
"""
IN, OUT, FORWARD = (
    f"type filter hook {hook} priority 5; policy" for hook in ("input", "output", "forward")
)


def base(head: str, policy: str, *rules: str) -> str:
    return "chain c { " + f"{head} {policy}; " + "; ".join(rules) + "; }"


SOUND = {
    "nothing drops": base(FORWARD, "accept", "tcp dport 25 accept"),
    "both directions": base(
        FORWARD, "drop", 'iifname "weft0" accept', 'counter oifname "weft0" counter accept'
    ),
    "what is invalid": base(FORWARD, "accept", "ct state invalid drop", "ct state 0x1 drop"),
    "all states": base(FORWARD, "drop", "ct state new,established,related accept"),
    "by a star": base(IN, "drop", 'iifname "weft*" accept'),
    "among others": base(IN, "drop", 'iifname { "lo", "weft0" } accept'),
    "all but one": base(IN, "drop", 'iifname != "eth0" accept'),
    "drops what is another's": base(IN, "accept", 'iifname "eth0" drop', "ct state invalid drop"),
    "by a map": base(IN, "drop", 'iifname vmap { "lo" : accept, "weft0" : accept }'),
    "by a map to a chain": "chain w { accept; } "
    + base(IN, "drop", 'iifname vmap { "eth0" : drop, "weft0" : jump w }'),
    "by way of a chain that returns": "chain w { tcp dport 22 accept; return; } "
    + base(IN, "drop", "jump w", 'iifname "weft0" accept'),
    "by state": base(OUT, "drop", "ct state established accept", "ct state untracked accept"),
    "by a map of states": base(
        OUT, "drop", "ct state vmap { established : accept, invalid : drop, untracked : accept }"
    ),
    "a goto and the policy behind it": "chain w { return; } "
    + base(IN, "accept", "goto w", "drop"),
    "firewalld, weft0 trusted": FIREWALLD.replace("ip6 daddr { ::/96, 2002::/16 } reject", "#")
    + """chain filter_INPUT_ZONES { iifname "weft0" goto filter_IN_trusted; goto filter_IN_public; }
    chain filter_IN_trusted { accept; }
    chain filter_FORWARD_ZONES { iifname "weft0" accept; oifname "weft0" accept; }"""
    + PUBLIC,
}
DOUBTFUL = {
    "input": base(IN, "drop", 'iifname "lo" accept'),
    "forward": base(FORWARD, "drop"),
    "what is new": base(FORWARD, "drop", "ct state established,related accept"),
    "one direction": base(FORWARD, "drop", 'iifname "weft0" accept'),
    "output, what conntrack knows": base(OUT, "drop", "ct state established,related accept"),
    "answers are no connections": base(OUT, "drop", 'ct state new oifname "weft0" accept'),
    "some ports": base(IN, "drop", 'iifname "weft0" tcp dport 53 accept'),
    "drops before": base(IN, "drop", "udp dport 335 drop", 'iifname "weft0" accept'),
    "another device": base(IN, "drop", 'iifname "weft1" accept'),
    "a limit": base(IN, "drop", 'iifname "weft0" limit rate 10/second accept'),
    "drops in a chain": "chain w { drop; } " + base(IN, "accept", "udp sport 53 accept", "jump w"),
    "drops in a chain perhaps": "chain w { drop; } "
    + base(IN, "accept", "ip saddr 1.1.1.1 jump w"),
    "a map that is not known": "map m { type ifname : verdict; }\n"
    + base(IN, "accept", "iifname vmap @m"),
    "firewalld": FIREWALLD.replace("ip6 daddr { ::/96, 2002::/16 } reject", "#")
    + """chain filter_INPUT_ZONES { goto filter_IN_public; }
    chain filter_FORWARD_ZONES { }"""
    + PUBLIC,
}


@pytest.mark.parametrize(
    ("rules", "is_doubtful"),
    [(rules, False) for rules in SOUND.values()] + [(rules, True) for rules in DOUBTFUL.values()],
    ids=[*SOUND, *(f"not: {name}" for name in DOUBTFUL)],
)
def test_what_may_drop_is_told_from_what_does_not(
    host_netns: str, rules: str, is_doubtful: bool
) -> None:
    text = "table inet other {\n" + rules.replace("} chain", "}\nchain") + "\n}\n"
    made = subprocess.run(["nft", "-f", "-"], input=text, text=True, capture_output=True)
    assert made.returncode == 0, made.stderr + text
    nftables = Nftables()
    try:
        found = doubtful_chains(nftables)
        assert bool(found) == is_doubtful, found
    finally:
        nftables.close()
