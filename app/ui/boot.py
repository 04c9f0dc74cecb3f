"""What is to be seen before Gradio is: each page arrives with its first content in it.

Gradio draws a page only after some forty files have come one after the other. Until then the browser shows the header
and what the page is about, made by the same functions, or grey places for it. When Gradio has put its own content on
the page this one goes (`omnitrack.js`, "What came with the page"); a button that was pressed here is pressed there.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import parse_qsl

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders

from app.ui import layout
from app.ui.layout import PAGES
from app.ui.media import STATIC
from app.ui.users import Role

_LOG = logging.getLogger(__name__)

FILTERS = '<i class="ot-wait low"></i>'
"""In the place of Gradio's inputs above a list."""

_WAIT = '<i class="ot-wait"></i><i class="ot-wait"></i>'
_STYLE = (STATIC / "boot.css").read_text(encoding="utf-8")
_THEME = """<script>document.body.classList.toggle('dark',(localStorage.getItem('omnitrack-theme')||
(matchMedia('(prefers-color-scheme: dark)').matches?'dark':'light'))==='dark')</script>"""


@dataclass(frozen=True, slots=True)
class FirstView:
    """html: the first content of a page.  until: selector of the element in which Gradio shows the same later."""

    html: str
    until: str


@dataclass(frozen=True, slots=True)
class PageVisitor:
    """Who asks for a page, with the values in its address."""

    query_params: Mapping[str, str]
    username: str | None
    role: Role = "look"


class Boot:
    """Puts the first content into every page of HTML that `app` sends.

    first_view: returns it for a page and its visitor, None for a page that has none. Called in a thread.
    """

    def __init__(self, app: Any, first_view: Callable[[str, PageVisitor], FirstView | None]) -> None:
        self._app = app
        self._first_view = first_view
        self._head = layout.styles() + layout.scripts()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        page = scope.get("path", "").strip("/")
        if scope["type"] != "http" or scope["method"] != "GET" or page not in {*PAGES, "person"}:
            await self._app(scope, receive, send)
            return
        # Plain text, so that there is something to be changed.
        scope = {**scope, "headers": [header for header in scope["headers"] if header[0] != b"accept-encoding"]}
        state = scope.get("state", {})
        query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
        visitor = PageVisitor(query, state.get("user"), state.get("role", "look"))
        start: Any = None
        body = b""

        async def send_with_content(message: Any) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            if message["type"] == "http.response.body":
                body += message.get("body", b"")
                if message.get("more_body"):
                    return
                message = {"type": "http.response.body", "body": body}
                if Headers(raw=start["headers"]).get("content-type", "").startswith("text/html"):
                    await self._send_page(start, body.decode(), page, visitor, send)
                    return
                await send(start)
            await send(message)

        await self._app(scope, receive, send_with_content)

    async def _send_page(self, start: Any, html: str, page: str, visitor: PageVisitor, send: Any) -> None:
        """Send a page in pieces: the header is painted, and scripts are on their way, while its content is made."""
        headers = MutableHeaders(scope=start)
        del headers["content-length"]
        headers["cache-control"] = "no-store"  # people are on it
        before, after = cut_at_body(html, f"<style>{_STYLE}</style>{self._head}")

        async def send_piece(text: str, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": more})

        await send(start)
        await send_piece(before + beginning(page))
        try:
            first = await to_thread.run_sync(self._first_view, page, visitor)
        except Exception:  # Gradio asks for the same again, and says on the page what is wrong
            _LOG.exception("the first content of the page %r could not be made", page)
            first = None
        content, until = (
            ("", ".ot-header-block") if first is None else (f'<div class="ot-first">{first.html}</div>', first.until)
        )
        await send_piece(f'{content}</main><i id="ot-until" data-until="{escape(until)}"></i></div>')
        await send_piece(after, more=False)


def cut_at_body(html: str, head: str) -> tuple[str, str]:
    """Return a page's HTML up to the beginning of its body and from there on, with more at the end of its head."""
    html = html.replace("</head>", f"{head}</head>", 1)
    body = re.search(r"<body[^>]*>", html)
    cut = 0 if body is None else body.end()
    return html[:cut], html[cut:]


def beginning(page: str) -> str:
    """Return what of a page can be said at once: the header, its title, and grey places for its content."""
    active = "people" if page == "person" else page
    title = escape(PAGES[page]) if PAGES.get(page) and page else ""
    return (
        f'{_THEME}<div id="ot-boot" class="ot-boot" aria-busy="true"><div class="ot-header-block">'
        f'{layout.header_html(active)}</div><main><div class="ot-soon"><div class="ot-title"><h1>{title}&nbsp;</h1>'
        f"</div>{_WAIT}</div>"
    )
