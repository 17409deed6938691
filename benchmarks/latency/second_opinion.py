"""h2load (nghttp2) beside our own generator: the same Echo and the same dry run of one order, as fast as they go.

h2load sends one body over and over, so Recommend is a dry run here (a repeated order would be looked up, not decided).
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.latency.blocks import measured
from benchmarks.latency.generator import Generator, Run
from benchmarks.latency.host import Host
from service.mapping.contract_messages import ECHO, RECOMMEND

CLIENTS = 4
STREAMS = 8
RESPONSE_BYTES = 4_000


def second_opinion(
    host: Host, load: Generator, order: bytes, folder: Path, seconds: int, rounds: int
) -> dict[str, Any]:
    """Calls a second of both generators, in turn; None where h2load is not installed."""
    program = shutil.which("h2load")
    if program is None:
        return {"second_opinion": None}
    recommend = RECOMMEND.request(order_id="second-opinion", dry_run=True).SerializeToString() + order
    echo = ECHO.request(payload=recommend, response_bytes=RESPONSE_BYTES).SerializeToString()
    rates: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, path, body in (("echo", ECHO.path, echo), ("recommend", RECOMMEND.path, recommend)):
            found = _h2load(program, host.target, path, body, folder / "body", seconds)
            rates.setdefault(f"h2load_{name}_per_s", []).append(found)
        parts = (f"echo*{CLIENTS * STREAMS}", f"recommend*{CLIENTS * STREAMS}")
        own = measured(load.run(host.target, Run(parts, 1, float(seconds), channels=CLIENTS, warm_calls=20)))
        for name, part in zip(("echo", "recommend"), parts, strict=True):
            rates.setdefault(f"own_{name}_per_s", []).append(float(own[part].ok_per_s.mean()))
    means = {name: round(sum(values) / len(values), 1) for name, values in rates.items()}
    return {
        "second_opinion": means | {
            "h2load_ratio": round(means["h2load_recommend_per_s"] / means["h2load_echo_per_s"], 3),
            "own_ratio": round(means["own_recommend_per_s"] / means["own_echo_per_s"], 3),
        }
    }  # fmt: skip


def _h2load(program: str, target: str, path: str, body: bytes, file: Path, seconds: int) -> float:
    """Calls a second that were answered with HTTP 200. Raises RuntimeError where any was not."""
    file.write_bytes(struct.pack(">BI", 0, len(body)) + body)
    command = [
        program, "-D", str(seconds), "-c", str(CLIENTS), "-m", str(STREAMS), "-d", str(file), "-H", "te: trailers",
        "-H", "content-type: application/grpc", f"http://{target}{path}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    rate = re.search(r"finished in [\d.]+(?:m|u)?s, ([\d.]+) req/s", done.stdout)
    failed = re.search(r"(\d+) failed, (\d+) errored", done.stdout)
    if rate is None or failed is None or failed.groups() != ("0", "0"):
        raise RuntimeError(f"h2load did not run well: {done.stdout[-1500:]}{done.stderr[-500:]}")
    return float(rate.group(1))
