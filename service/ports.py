"""Addresses to listen on: parsed, probed for a listener that is not ours, and reserved for the workers.

Several processes share one port with SO_REUSEPORT, so the kernel no longer tells a newcomer that somebody
else listens there: an older instance would quietly get a share of the connections. Hence the probe.

    AddressError         the text is no address
    AddressTakenError    somebody else listens there
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# sun_path is 108 bytes with its closing zero on Linux.
UNIX_PATH_MAX_BYTES: Final = 107
_HOST: Final = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")


class AddressError(ValueError):
    """The text is no address to listen on."""


class AddressTakenError(Exception):
    """Somebody else listens on the address, or holds it."""


@dataclass(frozen=True, slots=True)
class Address:
    """host and port, or a Unix socket's path. The host carries no brackets."""

    host: str
    port: int
    unix_path: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        if text.startswith("unix:"):
            return cls("", 0, _unix_path(text))
        host, colon, port_text = text.rpartition(":")
        if not colon or not host:
            raise AddressError("it must be host:port")
        if not (port_text.isascii() and port_text.isdigit()) or int(port_text) > 65535:
            raise AddressError(f"{port_text!r} is no port from 0 to 65535")
        return cls(_host(host), int(port_text))

    @property
    def is_unix(self) -> bool:
        return self.unix_path != ""

    def with_port(self, port: int) -> Address:
        return Address(self.host, port, self.unix_path)

    @property
    def is_loopback(self) -> bool:
        """Nobody on another host can reach it; a Unix socket least of all."""
        if self.is_unix or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def dialled(self) -> Address:
        """Where a client on this host finds it: a wildcard can be listened on, but not called."""
        loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}
        return Address(loopback.get(self.host, self.host), self.port, self.unix_path)

    def __str__(self) -> str:
        if self.is_unix:
            return f"unix:{self.unix_path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Reservation:
    """A port held by sockets that never listen, so that the kernel sends no connection their way."""

    address: Address
    sockets: tuple[socket.socket, ...]

    def release(self) -> None:
        for held in self.sockets:
            held.close()


def reserve(address: Address) -> Reservation:
    """Hold `address` for our workers; port 0 becomes a real one. AddressTakenError when it is not free."""
    if address.is_unix:
        _refuse_unix_listener(address)
        return Reservation(address, ())
    held: list[socket.socket] = []
    try:
        for family, host in resolved(address):
            if address.port != 0:
                _refuse_listener(family, host, address)
            bound = listening_socket(family, host, address.port)
            held.append(bound)
            # localhost is 127.0.0.1 and ::1: both get the port that the first one got.
            address = address.with_port(bound.getsockname()[1])
    except OSError as error:
        for bound in held:
            bound.close()
        reason = f"{error.strerror or error}{_owner(address.port)}"
        raise AddressTakenError(f"can't listen on {address}: {reason}") from error
    except AddressTakenError:
        for bound in held:
            bound.close()
        raise
    return Reservation(address, tuple(held))


def listening_socket(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    """A socket bound with SO_REUSEPORT, not listening yet. Without SO_REUSEADDR: with it, a second supervisor
    could bind between our reservation and our workers' listen()."""
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # gRPC listens on [::] for both families, so the reservation must too.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def resolved(address: Address) -> list[tuple[socket.AddressFamily, str]]:
    """Every family and numeric host that the address's host name stands for."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(name[0])) for family, _, _, _, name in found))


def _refuse_listener(family: socket.AddressFamily, host: str, address: Address) -> None:
    # SO_REUSEADDR without SO_REUSEPORT binds over closed connections in TIME_WAIT, yet never over a listener,
    # whatever options that listener has.
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        try:
            probe.bind((host, address.port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            reason = f"is already in use{_owner(address.port)}"
            raise AddressTakenError(f"{address} {reason}; stop it or choose another") from error


def _refuse_unix_listener(address: Address) -> None:
    # A socket file without a listener is what a killed instance leaves; gRPC replaces it.
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe, suppress(OSError):
        probe.settimeout(1.0)
        probe.connect(address.unix_path)
        raise AddressTakenError(f"{address} is already in use; stop its owner or choose another")


def _owner(port: int) -> str:
    """' by pid 12 (name)' of whoever listens on `port`, or nothing where that can't be seen."""
    inodes = _listening_inodes(port)
    for folder in Path("/proc").glob("[0-9]*/fd") if inodes else ():
        with suppress(OSError):
            for link in folder.iterdir():
                if os.readlink(link) in inodes:
                    process = folder.parent
                    return f" by pid {process.name} ({(process / 'comm').read_text().strip()})"
    return ""


def _listening_inodes(port: int) -> frozenset[str]:
    inodes: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                column = line.split()
                if column[3] == "0A" and int(column[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{column[9]}]")
    return frozenset(inodes)


def _unix_path(text: str) -> str:
    # gRPC takes unix:relative, unix:/absolute and unix:///absolute.
    path = text.removeprefix("unix:")
    path = "/" + path.lstrip("/") if path.startswith("//") else path
    if path in {"", "/"}:
        raise AddressError("it names no path: unix:/run/ess.sock")
    if len(os.fsencode(path)) > UNIX_PATH_MAX_BYTES:
        raise AddressError(f"a Unix socket's path has at most {UNIX_PATH_MAX_BYTES} bytes")
    return path


def _host(text: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        try:
            return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text[1:-1]))
        except OSError as error:
            raise AddressError(f"{text} is no IPv6 address") from error
    if ":" in text:
        raise AddressError("an IPv6 address stands in brackets: [::1]:50051")
    if not _HOST.match(text):
        raise AddressError(f"{text!r} is no host name")
    return text
