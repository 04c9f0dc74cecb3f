"""What is to be seen before Gradio is: each page arrives with a picture of itself that needs no script.

Gradio draws a page only after some forty files have come one after the other. Until then the browser shows the header
and grey places for what comes; the first `<ot-header>` that Gradio puts on the page takes them away (`omnitrack.js`).
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

from starlette.datastructures import Headers, MutableHeaders

from app.ui.layout import PAGES
from app.ui.media import PREFIX, STATIC

_STYLE = (STATIC / "boot.css").read_text(encoding="utf-8")
_THEME = """<script>document.body.classList.toggle('dark',(localStorage.getItem('omnitrack-theme')||
(matchMedia('(prefers-color-scheme: dark)').matches?'dark':'light'))==='dark')</script>"""


class Boot:
    """Puts the picture into every page of HTML that `app` sends."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._stamp = max(file.stat().st_mtime_ns for file in STATIC.iterdir()) % 10**9

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        page = scope.get("path", "").strip("/")
        if scope["type"] != "http" or scope["method"] != "GET" or page not in {*PAGES, "person"}:
            await self._app(scope, receive, send)
            return
        # Plain text, so that there is something to be changed.
        scope = {**scope, "headers": [header for header in scope["headers"] if header[0] != b"accept-encoding"]}
        start: Any = None
        body = b""

        async def send_with_picture(message: Any) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            if message["type"] == "http.response.body":
                body += message.get("body", b"")
                if message.get("more_body"):
                    return
                if Headers(raw=start["headers"]).get("content-type", "").startswith("text/html"):
                    body = with_picture(body.decode(), page, self._stamp).encode()
                    MutableHeaders(scope=start)["content-length"] = str(len(body))
                await send(start)
                message = {"type": "http.response.body", "body": body}
            await send(message)

        await self._app(scope, receive, send_with_picture)


def with_picture(html: str, page: str, stamp: int) -> str:
    """Return a page's HTML with the picture in its body; unchanged if it has no body."""
    active = "people" if page == "person" else page
    links = "".join(
        f'<a href="/{path}"{" aria-current=page" if path == active else ""}>{title}</a>'
        for path, title in PAGES.items()
    )
    title = "" if page in ("", "person") else escape(PAGES[page])
    picture = (
        f'{_THEME}<div id="ot-boot" aria-busy="true"><header><b><img src="{PREFIX}/static/icon.svg" alt="" width="26" '
        f'height="26">OmniTrack</b><nav>{links}</nav></header><main><h1>{title}&nbsp;</h1><i></i><i></i></main></div>'
    )
    early = (
        f'<link rel="preload" as="style" href="{PREFIX}/static/omnitrack.css?{stamp}">'
        f'<link rel="preload" as="script" href="{PREFIX}/static/omnitrack.js?{stamp}"><style>{_STYLE}</style></head>'
    )
    return re.sub(r"<body[^>]*>", lambda body: body.group() + picture, html.replace("</head>", early, 1), count=1)
