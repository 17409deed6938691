"""Starts what was built as an engine would: read-only root, the numbered user without capabilities, one writable
volume, and a network of its own that has loopback alone, so that whatever wanted to fetch something could not.

Runs as a program in namespaces of its own (`started`); its last line is one JSON object of what held.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.image.build import Stage
from tests.image.dockerfile import ROOT

READY_S = 120.0
STOP_S = 40.0
VOLUME = "/var/lib/ess"
TRUST = ("ESS_TLS_CERTIFICATE", "ESS_TLS_KEY", "ESS_TLS_CLIENT_CA", "ESS_POLICY_FILE")
_NAMESPACES = ("--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child")


def started(stage: Stage, volume: Path) -> dict[str, Any]:
    """What the program below found; raises with its words where it failed."""
    given = {**asdict(stage), "root": str(stage.root), "volume": str(volume)}
    done = subprocess.run(
        ("unshare", *_NAMESPACES, sys.executable, "-m", "tests.image.run"), input=json.dumps(given), cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError((done.stdout + done.stderr)[-6000:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _mount(*words: str) -> None:
    subprocess.run(("mount", *words), check=True, timeout=10)


def _prepare(root: Path, volume: Path) -> None:
    """As `docker run --read-only -v`: a new volume takes what the image has at its place, with its owner."""
    shutil.rmtree(volume, ignore_errors=True)
    subprocess.run(("cp", "-a", f"{root}{VOLUME}", str(volume)), check=True, timeout=60)
    _mount("--bind", str(root), str(root))
    _mount("-o", "remount,bind,ro", str(root))
    _mount("--bind", str(volume), f"{root}{VOLUME}")
    _mount("-t", "proc", "proc", f"{root}/proc")
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", f"{root}/dev")
    (root / "dev" / "shm").mkdir()
    _mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", f"{root}/dev/shm")
    for name in ("null", "zero", "full", "random", "urandom"):
        (root / "dev" / name).touch()
        _mount("--bind", f"/dev/{name}", f"{root}/dev/{name}")
    subprocess.run(("ip", "link", "set", "lo", "up"), check=True, timeout=10)


class Container:
    """The built root with its environment; every command is run as the image's user."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given
        user, _, group = given["user"].partition(":")
        self._enter = (
            shutil.which("chroot") or "chroot", given["root"], "/usr/bin/setpriv", f"--reuid={user}",
            f"--regid={group}", "--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all",
            "/usr/bin/env", f"--chdir={given['folder']}",
        )  # fmt: skip

    def begin(self, command: list[str], log: Path, **changes: str) -> subprocess.Popen[bytes]:
        with log.open("wb") as out:
            return subprocess.Popen(
                (*self._enter, *command), env=self._given["environment"] | changes, stdout=out, stderr=out,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def status_of(self, command: list[str], log: Path, limit_s: float, **changes: str) -> int:
        return self.begin(command, log, **changes).wait(timeout=limit_s)


def _ask(path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(
        f"http://127.0.0.1:8080{path}", data, {"Content-Type": "application/json"} if data else {}
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return dict(json.load(answer))


def compiled(cache: Path) -> set[str]:
    """The indexes of functions with what they hold: one that was compiled anew has another, for another source."""
    return {f"{path.name} {sha256(path.read_bytes()).hexdigest()[:8]}" for path in cache.rglob("*.nbi")}


def _order() -> dict[str, Any]:
    """For the morning of the next session, whatever the hour is."""
    closed_s = (int(time.time()) // 86_400 + 1) * 86_400 + 8 * 3600
    return {
        "order_id": "image-1", "instrument_id": "AIG", "side": "BUY", "quantity": 40_000,
        "objective": "BALANCED_EXECUTION", "urgency": "NORMAL", "market_context": {"time_of_day": "MORNING"},
        "effective_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(closed_s)),
    }  # fmt: skip


def main() -> None:
    given = json.load(sys.stdin)
    root, volume = Path(given["root"]), Path(given["volume"])
    _prepare(root, volume)
    container, log = Container(given), volume.with_suffix(".log")
    whole = [*given["entrypoint"], *given["command"]]
    status = container.status_of(whole, log, READY_S)
    refusal = (log.read_text(errors="replace").strip().splitlines() or [""])[-1]
    # Ended for this reason and for no other.
    found: dict[str, Any] = {"refused_without_tls": status != 0 and "tls" in refusal.lower(), "refusal": refusal}

    open_network = {"ESS_OPEN_NETWORK": "true"} | dict.fromkeys(TRUST, "")
    begun_s = time.monotonic()
    service = container.begin(whole, log, **open_network)
    health = volume.with_suffix(".health")
    # What an engine does with HEALTHCHECK: the command, again and again, until it ends well.
    while container.status_of(given["health"], health, 30.0, **open_network) != 0:
        if service.poll() is not None or time.monotonic() - begun_s > READY_S:
            sys.exit(f"not healthy: {health.read_text()[-1000:]}\n{log.read_text()[-4000:]}")
        # Its end is waited for, in between its health is asked for.
        with suppress(subprocess.TimeoutExpired):
            service.wait(timeout=0.2)
    found["healthy_after_s"] = round(time.monotonic() - begun_s, 1)
    asked_s = time.monotonic()
    found["strategy"] = _ask("/api/v1/execution-strategy/recommend", _order())["recommended_strategy"]["algorithm"]
    found["first_answer_s"] = round(time.monotonic() - asked_s, 3)
    found["stored"] = _ask("/api/v1/execution-strategy/image-1/status").get("order_id") == "image-1"
    found["compiled_anew"] = sorted(compiled(volume / "numba-cache") - compiled(root / "opt/ess/numba-cache"))
    service.send_signal(signal.SIGTERM)
    found["exit_status"] = service.wait(timeout=STOP_S)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
