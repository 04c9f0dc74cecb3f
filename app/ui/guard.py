"""The door: who may come in, which requests are from our own pages, and what may be asked of Gradio.

Gradio answers far more than the pages need (files by path, a proxy, an editor of code…): only what is listed here
reaches it, and only files that were uploaded to this server (`app.system.uploads`).
"""

from __future__ import annotations

import json
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from app.system.uploads import is_uploaded
from app.ui.calls import HEADER, collect, header_of
from app.ui.layout import PAGES
from app.ui.login import COOKIE, LOGIN, Login
from app.ui.media import PREFIX
from app.ui.users import NOBODY

POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # Gradio's templates are functions made from text
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "font-src 'self' data:",
        "frame-ancestors 'none'",
        "form-action 'self'",
        "base-uri 'self'",
        "object-src 'none'",
    ]
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_GRADIO = re.compile(
    r"/(config|theme\.css|favicon\.ico|robots\.txt|manifest\.json|(assets|static|svelte)/.+|gradio_api/"
    r"(info|startup-events|app_id|theme\.css|heartbeat/\w+|queue/(join|data)|run/\w+|cancel|reset|upload|upload_progress))/?"
)
"""The addresses of Gradio that a page asks for."""

_CALLS = re.compile(r"/gradio_api/(run/\w+|queue/join|cancel|reset)/?")
"""Those whose body is JSON with the values of a page's inputs."""

_OPEN_TO_ALL = (LOGIN, f"{PREFIX}/static/")
_SAFE = ("GET", "HEAD")
_LONGEST_CALL_BYTES = 2_000_000


class Guard:
    """Lets in who may come in, and says to the browser what pages may do: load from this server only.

    A page of another site must not reach the interface through a visitor's browser, so requests have to come from a
    page of this server: a browser says so with `Sec-Fetch-Site`, and with `Origin` when something is to be changed. On
    a loopback address the server has to be called by its own name.

    login: None lets everybody in, who may then do everything.
    """

    def __init__(self, app: Any, login: Login | None, loopback_only: bool) -> None:
        self._app = app
        self._login = login
        self._loopback_only = loopback_only

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None and scope["method"] == "POST" and _CALLS.fullmatch(scope["path"]):
            refusal, receive = await _checked(receive)
        await (refusal or self._app)(scope, receive, _with_headers(send, collect()))

    def _refusal(self, scope: Any) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._loopback_only and not is_loopback(host.rpartition(":")[0] or host):
            return PlainTextResponse("This server answers to localhost only.", 403)
        if not _from_here(scope, headers, host):
            return PlainTextResponse("Only pages of this server may ask for that.", 403)
        if not _is_known(scope["path"]):
            return PlainTextResponse("There is nothing here.", 404)
        state = scope.setdefault("state", {})
        if self._login is None:
            state.update(user=NOBODY, role="erase", login=False)
            return None
        user = self._login.sessions.user(Request(scope).cookies.get(COOKIE, ""))
        if user is not None:
            state.update(user=user.name, role=user.role, login=True)
            return None
        if scope["path"].startswith(_OPEN_TO_ALL):
            return None
        if scope["method"] in _SAFE and "text/html" in headers.get("accept", ""):
            asked = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
            return RedirectResponse(f"{LOGIN}?next={quote(asked, safe='')}", 303, {"Cache-Control": "no-store"})
        return JSONResponse({"detail": "Log in first."}, 401)


def _from_here(scope: Any, headers: Headers, host: str) -> bool:
    """Return whether a request comes from a page of this server, from a typed address, or from no browser."""
    method, origin, site = scope["method"], headers.get("origin"), headers.get("sec-fetch-site")
    if method not in (*_SAFE, "POST"):
        return False
    if origin is not None and origin != f"{scope['scheme']}://{host}":
        return False
    if site is None or site == "same-origin":
        return True
    is_visit = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return method in _SAFE and (site == "none" or is_visit)


def _is_known(path: str) -> bool:
    page = path.strip("/")
    return (
        page in PAGES
        or page == "person"
        or path in (LOGIN, "/logout")
        or path.startswith(f"{PREFIX}/")
        or _GRADIO.fullmatch(path) is not None
    )


async def _checked(receive: Any) -> tuple[Response | None, Any]:
    """Read the body of a call; return what is wrong with it, and a `receive` that gives it again."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return PlainTextResponse("The request ended early.", 400), receive
        body += message.get("body", b"")
        if len(body) > _LONGEST_CALL_BYTES:
            return PlainTextResponse("This request is too long.", 413), receive
        if not message.get("more_body"):
            break
    try:
        files = list(_files(json.loads(bytes(body) or b"{}")))
    except (ValueError, RecursionError):
        return PlainTextResponse("This request cannot be read.", 400), receive
    if not all(is_uploaded(Path(file)) for file in files):
        return JSONResponse({"error": "This file was not uploaded here; choose it again."}, 403), receive
    given = False

    async def again() -> Any:
        nonlocal given
        if given:
            return await receive()  # says when the browser has gone
        given = True
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    return None, again


def _files(value: Any) -> Any:
    """Yield the paths of all files that a JSON value names, at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get("path"), str):
            yield value["path"]
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _files(one)


def _with_headers(send: Any, said: list[dict[str, Any]]) -> Any:
    async def send_with_headers(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name in [name for name in headers if name.startswith("access-control-")]:
                del headers[name]  # Gradio's: no page of another port may read anything
            for name, value in _HEADERS.items():
                headers[name] = value
            if said:
                headers[HEADER] = header_of(said)
        await send(message)

    return send_with_headers


def is_loopback(host: str) -> bool:
    if host.strip("[]") == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
