"""Logged-in browsers and failed attempts. Both live in memory: a server that starts anew asks for passwords again."""

from __future__ import annotations

import hashlib
import math
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from app.ui.users import User, Users

_MOST_SESSIONS = 1000
_MOST_NAMES = 10_000
_FREE_TRIES = 3
_FORGOTTEN_S = 3600.0


@dataclass(frozen=True, slots=True)
class _Session:
    name: str
    password: str
    """The hash when the session began: a new password ends it."""
    ends_s: float


class Sessions:
    """Who is logged in, by the token in the browser's cookie; only a digest of it is kept."""

    def __init__(self, users: Users, length_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._users = users
        self._length_s = length_s
        self._now = now
        self._sessions: OrderedDict[bytes, _Session] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, user: User) -> str:
        """Return the token of a new session."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            now = self._now()
            for digest in [digest for digest, one in self._sessions.items() if one.ends_s <= now]:
                del self._sessions[digest]
            while len(self._sessions) >= _MOST_SESSIONS:
                self._sessions.popitem(last=False)
            self._sessions[_digest(token)] = _Session(user.name, user.password, now + self._length_s)
        return token

    def user(self, token: str) -> User | None:
        """Return whose session it is, with the role of now; None if it is over or the user has changed."""
        with self._lock:
            session = self._sessions.get(_digest(token))
        if session is None or session.ends_s <= self._now():
            return None
        user = self._users.get(session.name)
        return user if user is not None and user.password == session.password else None

    def end(self, token: str) -> None:
        with self._lock:
            self._sessions.pop(_digest(token), None)


class Attempts:
    """Makes guessing slow: after some failures of an address, or for a name, the next try has to wait, ever longer.

    An address waits up to five minutes; a name only ten seconds, so that nobody keeps a user out by failing for them.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failed: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, address: str, name: str) -> float:
        """Return for how long the next try has to wait; 0 if it may be made now."""
        with self._lock:
            return max(self._wait(("address", address), 300.0), self._wait(("name", name), 10.0))

    def failed(self, address: str, name: str) -> None:
        with self._lock:
            for key in (("address", address), ("name", name)):
                count, last = self._failed.pop(key, (0, -math.inf))
                self._failed[key] = (1 if self._now() - last > _FORGOTTEN_S else count + 1, self._now())
            while len(self._failed) > _MOST_NAMES:
                self._failed.popitem(last=False)

    def succeeded(self, address: str, name: str) -> None:
        with self._lock:
            for key in (("address", address), ("name", name)):
                self._failed.pop(key, None)

    def _wait(self, key: tuple[str, str], most_s: float) -> float:
        count, last = self._failed.get(key, (0, -math.inf))
        if count < _FREE_TRIES:
            return 0.0
        return max(0.0, last + min(most_s, 2.0 ** min(count - _FREE_TRIES, 20)) - self._now())


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
