"""Threads that decode a type for the first time, all at once. Another process, for it may crash."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import sys, threading, types
sys.setswitchinterval(1e-6)
import msgspec
from weft.readiness import ready

CODE = '''
from __future__ import annotations
import msgspec
class Inner(msgspec.Struct):
    kind: str
    message: str = ""
class Outer(msgspec.Struct):
    error: Inner
'''
for number in range(100):
    name = f"fresh{number}"
    module = sys.modules[name] = types.ModuleType(name)
    exec(CODE, module.__dict__)
    barrier = threading.Barrier(4)

    def read():
        barrier.wait()
        data = b'{"error": {"kind": "x", "message": "y"}}'
        wanted = ready(module.Outer)
        assert msgspec.json.decode(data, type=wanted).error.kind == "x"

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("done")
"""


def test_many_threads_may_begin_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
