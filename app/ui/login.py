"""Logging in and out: a page with a form, a cookie that scripts cannot read, and slowed, logged failures."""

from __future__ import annotations

import logging
import math
import threading
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import parse_qs

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from app.ui import layout
from app.ui.media import PREFIX
from app.ui.sessions import Attempts, Sessions
from app.ui.users import User, Users

LOGIN = "/login"
COOKIE = "omnitrack_session"
_LOG = logging.getLogger(__name__)
_LONGEST_FORM_BYTES = 8192
_MOST_WAITING = 8
_NO_STORE = {"Cache-Control": "no-store"}
_THEME = """<script>document.documentElement.classList.toggle('dark',(localStorage.getItem('omnitrack-theme')||
(matchMedia('(prefers-color-scheme: dark)').matches?'dark':'light'))==='dark')</script>"""


@dataclass
class Login:
    """Checks passwords, one at a time, and keeps who is logged in."""

    users: Users
    length_s: float
    sessions: Sessions = field(init=False)
    attempts: Attempts = field(default_factory=Attempts)
    _one: threading.Lock = field(default_factory=threading.Lock)
    _waiting: int = 0

    def __post_init__(self) -> None:
        self.sessions = Sessions(self.users, self.length_s)

    def enter(self, name: str, password: str, address: str) -> tuple[User | None, str]:
        """Return the user, or None and why not. Failures are logged, never the password."""
        if self._waiting >= _MOST_WAITING:
            return None, "Too many are logging in at once; try again in a moment."
        self._waiting += 1
        try:
            with self._one:
                wait_s = self.attempts.wait_s(address, name)
                if wait_s > 0:
                    return None, f"Too many failed tries: wait {layout.duration(math.ceil(wait_s))}."
                user = self.users.check(name, password)
                if user is None:
                    self.attempts.failed(address, name)
                    _LOG.warning("login failed for %r from %s", name[:64], address)
                    return None, "This name and password do not fit."
                self.attempts.succeeded(address, name)
                return user, ""
        finally:
            self._waiting -= 1


def login_routes(login: Login | None) -> APIRouter:
    """Return the routes; without `login` only the one that says that everybody may do everything."""
    routes = APIRouter()

    @routes.get(f"{PREFIX}/me")
    def me(request: Request) -> dict[str, Any]:
        state = request.scope["state"]
        return {"user": state["user"], "role": state["role"], "login": state["login"]}

    if login is None:
        return routes

    @routes.get(LOGIN)
    def form(next: str = "/") -> Response:
        return HTMLResponse(_page(next), headers=_NO_STORE)

    @routes.post(LOGIN)
    async def enter(request: Request) -> Response:
        values = await _form(request)
        name, password, onwards = (values.get(key, "") for key in ("user", "password", "next"))
        address = request.client.host if request.client else "unknown"
        user, why = await to_thread.run_sync(login.enter, name, password, address)
        if user is None:
            return HTMLResponse(_page(onwards, name, why), 429 if "wait" in why else 401, headers=_NO_STORE)
        answer = RedirectResponse(local(onwards), 303, _NO_STORE)
        token = login.sessions.begin(user)
        secure = request.url.scheme == "https"
        answer.set_cookie(
            COOKIE, token, max_age=int(login.length_s), httponly=True, samesite="strict", secure=secure, path="/"
        )
        return answer

    @routes.post("/logout")
    async def leave(request: Request) -> Response:
        login.sessions.end(request.cookies.get(COOKIE, ""))
        answer = RedirectResponse(LOGIN, 303, _NO_STORE)
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return answer

    return routes


def local(address: str) -> str:
    """Return the address of one of our pages that somebody wanted; the first page for an address elsewhere."""
    is_ours = address.startswith("/") and not address.startswith(("//", "/\\", LOGIN, "/logout"))
    return address if is_ours and address.isprintable() and "\\" not in address else "/"


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LONGEST_FORM_BYTES:
            return {}
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace"), max_num_fields=10).items()}


def _page(onwards: str, name: str = "", why: str = "") -> str:
    said = f'<p class="ot-login-why" role="alert">{escape(why)}</p>' if why else ""
    focus = ("", " autofocus") if name else (" autofocus", "")
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>OmniTrack: log in</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="{PREFIX}/static/icon.svg">
<link rel="stylesheet" href="{PREFIX}/static/login.css">{_THEME}</head><body><main>
<form method="post" action="{LOGIN}"><h1><img src="{PREFIX}/static/icon.svg" alt="">OmniTrack</h1>{said}
<label>Name<input name="user" value="{escape(name)}" autocomplete="username" required maxlength="64"{focus[0]}></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required{focus[1]}></label>
<input type="hidden" name="next" value="{escape(local(onwards))}"><button>Log in</button>
<p class="ot-login-note">Who looks, searches and corrects is written down with this name.</p></form></main></body>
</html>"""
