"""How the HTTP process listens."""

from __future__ import annotations

import socket

from service.http.process import listen
from service.ports import Address


def test_answers_are_not_held_back_for_an_acknowledgement() -> None:
    """An answer leaves in two writes; with Nagle's algorithm the second would wait 40 ms."""
    (listening,) = listen(Address.parse("127.0.0.1:0"))
    with listening, socket.create_connection(listening.getsockname()):
        listening.setblocking(True)
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
