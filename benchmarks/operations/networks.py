"""Network namespaces for the benchmarks: each host an address and ports of its own, joined by a bridge of this machine.

Needs root and `ip` (iproute2); says why where it cannot. Names carry the process's id, so that nothing of anybody else
is touched, and everything made is taken away again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SUBNET = "10.213"


class NoNetworks(Exception):
    """This machine or user cannot make network namespaces; the text says why."""


@dataclass(frozen=True, slots=True)
class Network:
    """A namespace, and the address that the others reach it at."""

    name: str
    address: str

    def inside(self, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *command]


def ip(*arguments: str) -> None:
    """Raises NoNetworks with what `ip` said."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20.0, check=False)
    if done.returncode != 0:
        raise NoNetworks(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def take_away(*arguments: str) -> None:
    """What is not there any more is no fault."""
    subprocess.run(["ip", *arguments], capture_output=True, timeout=20.0, check=False)


@contextmanager
def networks(count: int) -> Iterator[list[Network]]:
    """Namespaces on one bridge, which lies in the first of them: this machine's own network is not touched. Raises
    NoNetworks."""
    if os.geteuid() != 0:
        raise NoNetworks("network namespaces need root")
    if shutil.which("ip") is None:
        raise NoNetworks("network namespaces need `ip` (Debian: iproute2)")
    made, own = [], f"ess{os.getpid() % 100_000}"
    block = os.getpid() % 250
    try:
        for number in range(count):
            network = Network(f"{own}n{number}", f"{SUBNET}.{block}.{number + 1}")
            ip("netns", "add", network.name)
            made.append(network)
            ip("-n", network.name, "link", "set", "lo", "up")
        first = made[0]
        ip("-n", first.name, "link", "add", "br0", "type", "bridge")
        ip("-n", first.name, "addr", "add", f"{first.address}/24", "dev", "br0")
        ip("-n", first.name, "link", "set", "br0", "up")
        for number, network in enumerate(made[1:], start=1):
            port = f"port{number}"
            ip("-n", first.name, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", network.name)
            ip("-n", first.name, "link", "set", port, "master", "br0", "up")
            ip("-n", network.name, "addr", "add", f"{network.address}/24", "dev", "eth0")
            ip("-n", network.name, "link", "set", "eth0", "up")
        yield made
    finally:
        for network in reversed(made):
            take_away("netns", "del", network.name)
