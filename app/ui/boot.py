"""What is to be seen before Gradio is: each page arrives with its first content in it.

Gradio draws a page only after some forty files have come one after the other. Until then the browser shows the header
and what the page is about, made by the same functions, or grey places for it. When Gradio has put its own content on
the page this one goes (`omnitrack.js`, "What came with the page"); a button that was pressed here is pressed there.
"""

from __future__ import annotations

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
        visitor = PageVisitor(
            dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"))), scope.get("state", {}).get("user")
        )
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
                headers = MutableHeaders(scope=start)
                if Headers(raw=start["headers"]).get("content-type", "").startswith("text/html"):
                    first = await to_thread.run_sync(self._first_view, page, visitor)
                    body = with_content(body.decode(), page, self._head, first).encode()
                    headers["content-length"] = str(len(body))
                    headers["cache-control"] = "no-store"  # people are on it
                await send(start)
                message = {"type": "http.response.body", "body": body}
            await send(message)

        await self._app(scope, receive, send_with_content)


def with_content(html: str, page: str, head: str, first: FirstView | None) -> str:
    """Return a page's HTML with its first content in its body; unchanged if it has no body."""
    active = "people" if page == "person" else page
    if first is None:
        title = f"<h1>{escape(PAGES[page])}&nbsp;</h1>" if page in PAGES else ""
        first = FirstView(f'<div class="ot-title">{title}</div>{_WAIT}', ".ot-header-block")
    content = (
        f'{_THEME}<div id="ot-boot" class="ot-boot" aria-busy="true" data-until="{escape(first.until)}">'
        f'<div class="ot-header-block">{layout.header_html(active)}</div><main>{first.html}</main></div>'
    )
    early = f"<style>{_STYLE}</style>{head}</head>"
    return re.sub(r"<body[^>]*>", lambda body: body.group() + content, html.replace("</head>", early, 1), count=1)
