"""Just enough of PostgreSQL's protocol (version 3) to see a COMMIT go to the server and its answer come back.

Bytes arrive in whatever pieces the network makes; a watcher keeps what is not a whole message yet, and never changes
what it sees. TLS cannot be watched: conninfos for a watched connection say sslmode=disable.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104
_COMMIT_WORDS = (b"COMMIT", b"END")


def _is_commit(query: bytes) -> bool:
    words = query.strip(b"\0 \t\r\n;").upper().split(None, 1)
    # PREPARE TRANSACTION and the like are nobody's here; "COMMIT AND CHAIN" ends a transaction too.
    return bool(words) and words[0].rstrip(b";") in _COMMIT_WORDS


@dataclass(slots=True)
class FrontendWatch:
    """Client to server. `feed` says whether a COMMIT is in what became whole."""

    _held: bytearray = field(default_factory=bytearray)
    _has_started: bool = False
    _commit_statements: set[bytes] = field(default_factory=set)
    bare_answers: int = 0  # answers of one byte that the server owes (to requests for encryption)

    def feed(self, data: bytes) -> bool:
        self._held += data
        found = False
        while self._next_is_whole():
            found = self._take() or found
        return found

    def _length(self) -> int:
        offset = 1 if self._has_started else 0
        if len(self._held) < offset + 4:
            return -1
        return int(struct.unpack_from(">I", self._held, offset)[0]) + offset

    def _next_is_whole(self) -> bool:
        length = self._length()
        return 0 < length <= len(self._held)

    def _take(self) -> bool:
        length = self._length()
        message = bytes(self._held[:length])
        del self._held[:length]
        if not self._has_started:
            (code,) = struct.unpack_from(">I", message, 4)
            if code in (_SSL_REQUEST, _GSS_REQUEST):
                self.bare_answers += 1
            else:
                self._has_started = True
            return False
        kind, body = message[:1], message[5:]
        if kind == b"Q":
            return _is_commit(body)
        if kind == b"P":
            name, _, rest = body.partition(b"\0")
            is_commit = _is_commit(rest.partition(b"\0")[0])
            (self._commit_statements.add if is_commit else self._commit_statements.discard)(name)
        if kind == b"B":
            statement = body.partition(b"\0")[2].partition(b"\0")[0]
            return statement in self._commit_statements
        return False


@dataclass(slots=True)
class BackendWatch:
    """Server to client. `feed` says whether the answer to a COMMIT that was carried out is in what became whole."""

    _held: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes, frontend: FrontendWatch) -> bool:
        self._held += data
        found = False
        while self._held:
            if frontend.bare_answers:
                frontend.bare_answers -= 1
                del self._held[:1]
                continue
            if len(self._held) < 5:
                break
            length = int(struct.unpack_from(">I", self._held, 1)[0]) + 1
            if len(self._held) < length:
                break
            if self._held[:1] == b"C" and bytes(self._held[5:length]).rstrip(b"\0") == b"COMMIT":
                found = True
            del self._held[:length]
        return found
