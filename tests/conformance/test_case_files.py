"""Case files say what they mean: a fault is told with file and line, and ids are told apart."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.conformance import sentences
from tests.conformance.addresses import Addresses
from tests.conformance.case_files import all_scenes, read
from tests.conformance.scenes import documents
from tests.conformance.sentences import Outcome, Probe

SCENE = """\
scene: peers
about: Who may come.
model:
  - {kind: network, name: net}
  - {kind: group, name: web, rules: [allow ingress from "network:@other/net"]}
workloads:
  a: {network: net}
  b: {network: net, host: 2}
behaviours:
  - says: it gets through
    steps:
      - a -> b tcp 80: answered
"""


def test_every_file_is_sound_and_no_name_is_there_twice() -> None:
    scenes = list(all_scenes())
    assert scenes
    names = Counter(scene.scene for scene in scenes)
    names.update(
        f"{scene.scene}: {behaviour.says}" for scene in scenes for behaviour in scene.behaviours
    )
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("a -> b tcp 80: answered", "c -> b tcp 80: answered", "no workload 'c'"),
        ("a -> b tcp 80: answered", "a -> c tcp 80: answered", "c: no workload"),
        ("a -> b tcp 80: answered", "a -> b tcp 80: lost", "say one of answered"),
        ("a -> b tcp 80: answered", "a -> b tcp 80 slow: answered", "unknown word 'slow'"),
        ("a -> b tcp 80: answered", "a -> b tcp: answered", "ends too early"),
        ("a -> b tcp 80: answered", "a -> b carp 80: answered", "unknown protocol 'carp'"),
        ("a -> b tcp 80: answered", "leave: c", "no workload 'c'"),
        ("a -> b tcp 80: answered", "flow: goes on", "say SENDER -> TARGET"),
        ("a -> b tcp 80: answered", "open f: a -> b tcp", "ends too early"),
        ("host: 2", "host: 3", "host"),
        ("host: 2", "hosts: 2", "hosts"),
    ],
)
def test_a_fault_is_told_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "wrong.yaml"
    assert old in SCENE
    path.write_text(SCENE.replace(old, new))
    with pytest.raises(ValueError, match=r"wrong\.yaml:1: ") as caught:
        list(read(path))
    assert said in str(caught.value)


def test_a_line_says_what_is_sent_and_what_becomes_of_it() -> None:
    assert sentences.probe("lb -> web@back udp 53 size 3000 from 5353 hops 2 whole") == Probe(
        "lb", "web@back", "udp", 53, source_port=5353, size=3000, hops=2, is_whole=True
    )
    assert sentences.probe("a -> net.1 icmp 3/4").code == 4
    assert sentences.outcome("expired by net.1") == Outcome("expired", by="net.1")
    assert sentences.outcome("answered with 63 hops") == Outcome("answered", hops=63)


def test_a_model_comes_into_a_tenant_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "sound.yaml"
    path.write_text(SCENE)
    [scene] = read(path)
    network, group = documents(scene.model, "c7")
    assert (network["tenant"], network["is_internal"]) == ("c7", True)
    assert group["rules"] == ['allow ingress from "network:c7-other/net"']
    addresses = Addresses(scene)
    assert addresses.of("b", 4) == "10.50.0.12"
    assert addresses.of("net.1", 6) == "fd50::1"
