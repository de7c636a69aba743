"""Bulk traffic from one workload to another, by iperf3."""

from __future__ import annotations

import json
import subprocess

from tests.bpf.lan import wait_for
from tests.bpf.namespaces import Namespace

SMALL_BUFFERS = "-w 128K"
"""What is in the buffers when the sender is through is not counted: it could be all."""


def stream(
    sender: Namespace, receiver: Namespace, address: str, options: str = SMALL_BUFFERS
) -> None:
    """30 MB over one TCP connection, unless the options of iperf3 say otherwise."""
    with receiver.entered():
        server = subprocess.Popen(["iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: ":5201" in receiver.run("ss -Hltn"))
        report = json.loads(sender.run(f"iperf3 -J -n 30M -c {address} {options}"))
        assert report["end"]["sum_received"]["bytes"] > 10e6
    finally:
        server.wait(10)
