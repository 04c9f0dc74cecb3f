"""Starting the interface: one web server with the pages, the media, and a guard in front of both."""

from __future__ import annotations

import logging
import os
import signal
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request

from app.config import Settings, UiSettings
from app.errors import InputError
from app.system.uploads import scratch_folder
from app.ui import evaluate, layout, overview, people, person, places, privacy, review, runs, search
from app.ui.boot import FILTERS, Boot, FirstView
from app.ui.calls import answer_directly
from app.ui.guard import Guard, is_loopback
from app.ui.jobs import Jobs
from app.ui.library import RunLibrary
from app.ui.login import Login, login_routes
from app.ui.media import media_routes
from app.ui.users import Users

RUNS_FOLDER = Path("runs")
_MOST_SESSIONS = 200
"""So many open pages are remembered, the latest: each with all that it shows, which takes memory."""
_LOG = logging.getLogger(__name__)


def run_ui(
    folders: Sequence[Path],
    settings: Settings,
    users: Users | None = None,
    certificate: tuple[Path, Path] | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the interface until Ctrl-C or SIGTERM.

    folders: the runs to show; empty for all runs under `runs/`, also those made later.
    users: who may come in; None lets everybody on this machine in.
    certificate: files with a TLS certificate (chain) and its key; None serves plain HTTP.
    say: is told where the interface is.
    Raises InputError for a folder without a run, a certificate that cannot be used, an address that others can reach
    without a password, or one that is in use.
    """
    if users is None and not is_loopback(settings.ui.host):
        raise InputError(f"--host {settings.ui.host} lets other machines in: give --users or --auth as well")
    _check_certificate(certificate)
    if certificate is None and not is_loopback(settings.ui.host):
        _LOG.warning("passwords and pictures go over the network in the clear: give --tls-certificate and --tls-key")
    library = RunLibrary(folders, RUNS_FOLDER)
    login = Login(users, settings.ui.session_hours * 3600.0) if users is not None else None
    with _terminated_in_order(), _listening(settings.ui) as port, scratch_folder():
        app = build_app(library, settings, login)
        threading.Thread(target=warm_up, args=(library,), daemon=True).start()
        scheme = "http" if certificate is None else "https"
        say(f"open {scheme}://{settings.ui.host}:{settings.ui.port} in a browser; Ctrl-C ends")
        config = uvicorn.Config(
            app,
            log_level="warning",
            timeout_graceful_shutdown=1,
            server_header=False,
            ssl_certfile=certificate[0] if certificate else None,
            ssl_keyfile=certificate[1] if certificate else None,
        )
        uvicorn.Server(config).run(sockets=[port])


@contextmanager
def _terminated_in_order() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the program as Ctrl-C does: what is open is put away."""

    def end(number: int, _frame: Any) -> None:
        raise SystemExit(128 + number)

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {}
    try:
        for name in names:
            number = getattr(signal, name)
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, end)
    except ValueError:  # not in the main thread
        pass
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check_certificate(certificate: tuple[Path, Path] | None) -> None:
    if certificate is None:
        return
    chain, key = certificate
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key, password=lambda: "")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise InputError(
            f"--tls-certificate {chain} --tls-key {key}: these cannot be used ({error}); give PEM files that belong "
            "together, the key without a password"
        ) from error


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
    """Return the whole interface as an ASGI application. Uploads need a folder, which `scratch_folder` makes."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    app = FastAPI(title="OmniTrack", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(login_routes(login))
    app.include_router(media_routes(library, settings.ui))
    jobs = Jobs(library.root)
    for job in jobs.all():
        if job.kind == "run":
            library.add(job.folder)
    pages = build_pages(library, settings, jobs)
    pages.state_session_capacity = _MOST_SESSIONS
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "SSR mode", UserWarning)  # it warns of what was never asked for
        gr.mount_gradio_app(
            app,
            pages,
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
    pages.has_launched = True  # which makes Gradio look whether a file that a call names was uploaded
    pages.config["connect_heartbeat"] = False  # a connection for ever, of the six that a browser has for all its tabs
    return Guard(Boot(app, partial(first_view, library, settings)), login, loopback_only=is_loopback(settings.ui.host))


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
    answer_directly(pages)
    return pages


def read_login(auth: str) -> Users:
    """Read `user:file`. Raises InputError if that is not what it is, or the file holds no password."""
    user, colon, file = auth.partition(":")
    if not colon or not user or not file:
        raise InputError("--auth: write it as USER:PASSWORD-FILE; the file holds nothing but the password")
    try:
        return Users.only(user, Path(file).read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--auth: cannot read the password file {file}") from error
    except InputError as error:
        raise InputError(f"--auth {auth}: {error}") from error


def _user_of(request: Request) -> str:
    """Tell Gradio who sent a request; the guard has looked already."""
    return str(request.scope["state"].get("user", ""))
