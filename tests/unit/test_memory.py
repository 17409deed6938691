"""What a warm worker gives back, and that nothing is lost with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from service.memory import code_of

MAPS = """\
7f0000000000-7f0000800000 r--p 00000000 08:01 42 /opt/lib/libllvmlite.so
7f0000800000-7f0004800000 r-xp 00800000 08:01 42 /opt/lib/libllvmlite.so
7f0004800000-7f0005000000 rw-p 04800000 08:01 42 /opt/lib/libllvmlite.so
7f0006000000-7f0006100000 r-xp 00000000 08:01 43 /opt/lib/not-libllvmlite.so
7f0007000000-7f0007100000 rwxp 00000000 00:00 0
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]
"""
# In a process of its own: whoever compiled before would have the compiler's pages in use.
TRIAL = """
import numba
import numpy as np
from service.memory import COMPILER, MAPS, code_of, give_back

def resident_kb():
    found, inside = 0, False
    for line in open("/proc/self/smaps"):
        if line[0] in "0123456789abcdef":
            inside = "r-xp" in line and line.rstrip().endswith("/" + COMPILER)
        elif inside and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found

@numba.njit
def total(values):
    return values.sum()

assert code_of(MAPS.read_text(), COMPILER)
assert total(np.arange(4.0)) == 6.0
before = resident_kb()
give_back()
after = resident_kb()
# What was compiled goes on, and the compiler is there when it is needed again.
assert total(np.arange(4.0)) == 6.0
assert total(np.arange(4)) == 6
print(before, after)
"""


def test_only_the_code_of_that_file_is_found() -> None:
    assert code_of(MAPS, "libllvmlite.so") == [(0x7F0000800000, 0x4000000)]
    assert code_of(MAPS, "libllvm") == []
    assert code_of("", "libllvmlite.so") == []


def test_the_compilers_pages_go_and_it_works_on() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRIAL], cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before_kb, after_kb = map(int, done.stdout.split())
    assert before_kb > 5_000
    assert after_kb < before_kb / 4
