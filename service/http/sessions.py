"""Who is signed in: bearer tokens that stay in this process, and random cookies that stand for them in browsers.

A page cannot put a token into the header of an event stream, and must not keep one where its scripts, or others', can
read it. So it gives the token here once, and gets a cookie that scripts cannot see and no other site can make a browser
send. The cookie counts only for requests of this origin's own pages; what changes something needs a header besides,
which no form and no other origin can send.

Sessions end by signing out, by time, and with the process. The token is asked of the service again at every call, so
what the policy takes away is gone at once.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from service.http import problems
from service.http.problems import Refused

SESSION_S: Final = 12 * 3_600
MOST_SESSIONS: Final = 10_000
TOKEN_BYTES: Final = 32
# The pages of this origin send it with every request.
OWN_PAGE: Final = "x-console"
# Names a browser takes from TLS origins only, for this host and no other (RFC 6265bis).
COOKIE, SECURE_COOKIE = "ess_session", "__Host-ess_session"
_TOKEN: Final = re.compile(r"[!-~]{1,4096}")
# What a browser says of where a request comes from; "none" is the address bar.
_OWN_SITES: Final = ("same-origin", "none", "")
_READING: Final = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Session:
    """`token` is never shown."""

    token: str = field(repr=False)
    expires_s: float


class Sessions:
    """Belongs to one event loop. `clock_s` is monotonic."""

    def __init__(
        self, *, is_secure: bool, lasts_s: float = SESSION_S, most: int = MOST_SESSIONS,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._is_secure = is_secure
        self._lasts_s = lasts_s
        self._most = most
        self._clock_s = clock_s
        # By the hash of the cookie's value, the oldest first: a picture of this memory opens nothing.
        self._held: OrderedDict[str, Session] = OrderedDict()

    def open(self, token: str) -> str:
        """The Set-Cookie header of a new session. Where too many are held the oldest ends."""
        self._forget_old()
        value = secrets.token_urlsafe(TOKEN_BYTES)
        while len(self._held) >= self._most:
            self._held.popitem(last=False)
        self._held[_hash(value)] = Session(token, self._clock_s() + self._lasts_s)
        return self._cookie(value, int(self._lasts_s))

    def close(self, headers: Mapping[str, str]) -> str:
        """The Set-Cookie header that takes the cookie away; the session that it stood for is over."""
        self._held.pop(self.key_of(headers), None)
        return self._cookie("", 0)

    def key_of(self, headers: Mapping[str, str]) -> str:
        """Names the session that a request belongs to; empty where it has no cookie, or one that is not to count."""
        if headers.get("sec-fetch-site", "") not in _OWN_SITES:
            return ""
        value = self._value_of(headers.get("cookie", ""))
        return _hash(value) if value else ""

    def left_s(self, key: str) -> float:
        """Seconds until a session ends by itself; 0 for one that is over or never was."""
        found = self._held.get(key)
        return max(0.0, found.expires_s - self._clock_s()) if found is not None else 0.0

    def applied(self, headers: dict[str, str], verb: str) -> dict[str, str]:
        """The headers with the session's token in them, where the request has no credentials of its own. Raises Refused
        (403) for a change that did not come from a page of this origin."""
        if "cookie" not in headers or "authorization" in headers:
            return headers
        key = self.key_of(headers)
        if self.left_s(key) <= 0.0:
            return headers
        if verb not in _READING:
            check_own_page(headers)
        return {**headers, "authorization": f"Bearer {self._held[key].token}"}

    def _value_of(self, header: str) -> str:
        """Of the one cookie of our name; two are somebody's trick."""
        name = SECURE_COOKIE if self._is_secure else COOKIE
        pairs = [part.strip().partition("=") for part in header.split(";")]
        found = [value for known, _, value in pairs if known == name]
        return found[0] if len(found) == 1 else ""

    def _cookie(self, value: str, lasts_s: int) -> str:
        name, more = (SECURE_COOKIE, "; Secure") if self._is_secure else (COOKIE, "")
        return f"{name}={value}; Path=/; Max-Age={lasts_s}; HttpOnly; SameSite=Strict{more}"

    def _forget_old(self) -> None:
        now_s = self._clock_s()
        while self._held and next(iter(self._held.values())).expires_s <= now_s:
            self._held.popitem(last=False)


def check_own_page(headers: Mapping[str, str]) -> None:
    """Raises Refused (403) unless the request has the header that only this origin's pages can send."""
    site, origin = headers.get("sec-fetch-site", ""), headers.get("origin", "")
    is_own = not origin or origin.partition("://")[2] == headers.get("host", "")
    if headers.get(OWN_PAGE, "") != "1" or site not in _OWN_SITES or not is_own:
        text = "a change with a cookie must come from the console's own page (X-Console: 1)"
        raise Refused(problems.of_code("PERMISSION_DENIED", text))


def check_token(token: object) -> str:
    """Raises Refused (400) for what can be no token; the text does not repeat it."""
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        words = "must be a token of 1 to 4096 printable ASCII characters without spaces"
        raise Refused(problems.of_code("INVALID_ARGUMENT", f"token: {words}", [("token", words)]))
    return token


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
