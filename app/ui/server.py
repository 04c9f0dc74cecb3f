"""Starting the interface: one web server with the pages, the media, and a guard in front of both."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import socket
import tempfile
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

from app.config import Settings, UiSettings
from app.errors import InputError
from app.identities import MACHINE
from app.ui import evaluate, layout, overview, people, person, places, privacy, review, runs, search
from app.ui.boot import FILTERS, Boot, FirstView
from app.ui.jobs import Jobs
from app.ui.library import RunLibrary
from app.ui.media import media_routes

RUNS_FOLDER = Path("runs")
_POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # Gradio's templates are functions made from text
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "font-src 'self' data:",
        "frame-ancestors 'none'",
        "form-action 'self'",
    ]
)


@dataclass(frozen=True, slots=True)
class Login:
    """The one user who may come in, and the password."""

    user: str
    password: str


def run_ui(folders: Sequence[Path], settings: Settings, auth: str = "", say: Callable[[str], None] = print) -> None:
    """Serve the interface until Ctrl-C.

    folders: the runs to show; empty for all runs under `runs/`, also those made later.
    auth: `user:file`, the file holding the password; empty lets everybody on this machine in.
    say: is told where the interface is.
    Raises InputError for a folder without a run, a password that cannot be read, an address that others can reach
    without a password, or one that is in use.
    """
    login = read_login(auth) if auth else None
    if login is None and not _is_loopback(settings.ui.host):
        raise InputError(f"--host {settings.ui.host} lets other machines in: give --auth USER:PASSWORD-FILE as well")
    library = RunLibrary(folders, RUNS_FOLDER)
    with _listening(settings.ui) as port, tempfile.TemporaryDirectory(prefix="omnitrack_ui_") as scratch:
        os.environ["GRADIO_TEMP_DIR"] = scratch  # uploads lie here, and are gone when the interface is
        app = build_app(library, settings, login)
        threading.Thread(target=warm_up, args=(library,), daemon=True).start()
        say(f"open http://{settings.ui.host}:{settings.ui.port} in a browser; Ctrl-C ends")
        uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)).run(sockets=[port])


def _listening(settings: UiSettings) -> socket.socket:
    """Return a socket that listens where the settings say. Raises InputError if that cannot be."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise InputError(
            f"--host {settings.host} --port {settings.port}: cannot listen there ({error.strerror}); give another "
            "--port, or end the program that uses this one"
        ) from error


def warm_up(library: RunLibrary) -> None:
    """Do before the first visitor comes what would make that visitor wait: open the newest run, and import what Gradio
    imports when it answers for the first time."""
    with suppress(InputError):
        library.get(None).links()
    import_module("matplotlib.pyplot")


def build_app(library: RunLibrary, settings: Settings, login: Login | None = None) -> Any:
    """Return the whole interface as an ASGI application."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    app = FastAPI(title="OmniTrack", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(media_routes(library, settings.ui))
    jobs = Jobs(library.root)
    for job in jobs.all():
        if job.kind == "run":
            library.add(job.folder)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "SSR mode", UserWarning)  # it warns of what was never asked for
        gr.mount_gradio_app(
            app,
            build_pages(library, settings, jobs),
            path="/",
            theme=layout.theme(),
            head=layout.styles(),
            footer_links=[],
            favicon_path=str(layout.ICON),
            auth_dependency=_user_of,
            allowed_paths=[],
            max_file_size=max(settings.ui.max_picture_mb, settings.ui.max_video_mb) * 1_000_000,
            show_error=True,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            enable_monitoring=False,
        )
    return Guard(Boot(app, partial(first_view, library, settings)), login, loopback_only=_is_loopback(settings.ui.host))


def first_view(library: RunLibrary, settings: Settings, page: str, visitor: layout.Visitor) -> FirstView | None:
    """Return what a page shows at first, None for pages that do not say it before Gradio asks for it."""
    if page == "":
        return FirstView(overview.view(library, visitor), "#overview")
    if page == "people":
        cards = people.cards_view(library, settings.ui, visitor)
        return FirstView(f"{layout.heading(*people.TITLE)}{FILTERS}{cards}", "#people-cards")
    if page == "person":
        return FirstView(person.view(library, visitor), "#person-view")
    if page == "review":
        return FirstView(layout.heading(*review.TITLE) + review.view(library, visitor), "#review-pair")
    if page == "places":
        return FirstView(places.view(library, visitor), "#places")
    return None


def build_pages(library: RunLibrary, settings: Settings, jobs: Jobs) -> gr.Blocks:
    """Return every page. The first one is at the root; each other has an address of its own."""
    with gr.Blocks(title="OmniTrack", analytics_enabled=False) as pages:
        overview.build(pages, library)
    with pages.route("People", "people", show_in_navbar=False) as page:
        people.build(page, library, settings.ui)
    with pages.route("Person", "person", show_in_navbar=False) as page:
        person.build(page, library)
    with pages.route("Search", "search", show_in_navbar=False) as page:
        search.build(page, library, settings)
    with pages.route("Review", "review", show_in_navbar=False) as page:
        review.build(page, library, settings, jobs)
    with pages.route("Places", "places", show_in_navbar=False) as page:
        places.build(page, library)
    with pages.route("Runs", "runs", show_in_navbar=False) as page:
        runs.build(page, library, settings, jobs)
    with pages.route("Evaluate", "evaluate", show_in_navbar=False) as page:
        evaluate.build(page, library, settings)
    with pages.route("Privacy", "privacy", show_in_navbar=False) as page:
        privacy.build(page, library, settings)
    return pages


def read_login(auth: str) -> Login:
    """Read `user:file`. Raises InputError if that is not what it is, or the file holds no password."""
    user, colon, file = auth.partition(":")
    if not colon or not user or not file or user.startswith(MACHINE.rstrip(":")):
        raise InputError("--auth: write it as USER:PASSWORD-FILE; the file holds nothing but the password")
    try:
        password = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--auth: cannot read the password file {file}") from error
    if len(password) < 8:
        raise InputError(f"--auth: the password in {file} needs at least 8 characters")
    return Login(user, password)


class Guard:
    """Lets in who may come in, and says to the browser what pages may do: load from this server only.

    A page of another site must not reach the interface through a visitor's browser, so requests that change something
    have to come from a page of this server, and on a loopback address it has to be called by its own name.
    """

    def __init__(self, app: Any, login: Login | None, loopback_only: bool) -> None:
        self._app = app
        self._login = login
        self._loopback_only = loopback_only

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope["method"], Headers(scope=scope))
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        scope.setdefault("state", {})["user"] = self._login.user if self._login else "ui"

        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = _POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
            await send(message)

        await self._app(scope, receive, send_with_policy)

    def _refusal(self, method: str, headers: Headers) -> PlainTextResponse | None:
        host = headers.get("host", "")
        if self._loopback_only and not _is_loopback(host.rpartition(":")[0] or host):
            return PlainTextResponse("This server answers to localhost only.", 403)
        origin = headers.get("origin")
        if method not in ("GET", "HEAD", "OPTIONS") and origin is not None and origin.partition("://")[2] != host:
            return PlainTextResponse("Only pages of this server may change something.", 403)
        if self._login is not None and not self._knows(headers.get("authorization", "")):
            return PlainTextResponse("Who are you?", 401, {"WWW-Authenticate": 'Basic realm="OmniTrack"'})
        return None

    def _knows(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        if self._login is None or scheme.lower() != "basic":
            return False
        try:
            user, _, password = base64.b64decode(given, validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return False
        right_user = secrets.compare_digest(user, self._login.user.encode())
        return secrets.compare_digest(password, self._login.password.encode()) and right_user


def _user_of(request: Request) -> str:
    """Tell Gradio who sent a request; the guard has looked already."""
    return str(request.scope["state"]["user"])


def _is_loopback(host: str) -> bool:
    if host.strip("[]") == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
