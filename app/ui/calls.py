"""How a page calls the server: one request, one answer, and the sentence that goes with it.

Gradio sends what a click does through a queue: the call is put there by one request and its answer comes back over a
stream that stays open. Such a stream is one of the six connections that a browser makes to a host, over all its tabs,
and an answer is lost where the stream ends between two calls. And a click is dropped without a word while an earlier
one of its kind is on its way, which on a busy machine is longer than until its effect is to be seen. So the calls of
our pages do not wait in a queue, and none is dropped: the answer of the request is the answer, and `omnitrack.js`
sends those that correct one after the other.

What is said beside it (`say`) travels in a header and is shown as text by `omnitrack.js`: names are never markup.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable
from contextvars import ContextVar
from html import escape
from typing import Any, Literal
from urllib.parse import quote

import gradio as gr

HEADER = "x-omnitrack-said"
_LONGEST_TEXT = 3000
_LOG = logging.getLogger(__name__)

Tone = Literal["done", "warning", "error"]
_said: ContextVar[list[dict[str, Any]] | None] = ContextVar("said", default=None)


def say(text: str, tone: Tone = "done", title: str = "", seconds: float | None = None) -> None:
    """Show a sentence on the page that asked.

    text: plain text; a new line begins where it has one.  title: by default what the tone means.  seconds: how long it
    stays; 0 until it is closed, by default 4 for what was done and 10 for the rest.
    """
    title = title or {"done": "Done", "warning": "Nothing was done", "error": "That did not work"}[tone]
    stays_s = (4.0 if tone == "done" else 10.0) if seconds is None else seconds
    collected = _said.get()
    if collected is not None:
        collected.append({"text": text[:_LONGEST_TEXT], "tone": tone, "title": title, "seconds": stays_s})
    else:  # a call that waited in the queue, for it shows how far it is
        show = gr.Info if tone == "done" else gr.Warning
        show(escape(text).replace("\n", "<br>"), duration=stays_s or None, title=escape(title))


def collect() -> list[dict[str, Any]]:
    """Begin to collect what is said during a request."""
    said: list[dict[str, Any]] = []
    _said.set(said)
    return said


def header_of(said: list[dict[str, Any]]) -> str:
    """Return the value of the header that carries what was said."""
    return quote(json.dumps(said), safe="")


def answer_directly(pages: gr.Blocks) -> None:
    """Let every call be answered by its own request, but those that show their progress, and make errors sentences.

    What is chosen in a list is not compared with what the server remembers of the page: it may have forgotten that, and
    the handlers look themselves whether there is such a person, camera or file.
    """
    for block in pages.blocks.values():
        if isinstance(block, gr.Dropdown | gr.CheckboxGroup | gr.Radio):
            block.preprocess = _as_sent
    pages._queue.sleep_when_free = 0.05  # it looks for work all the time, and there is hardly any
    for fn in pages.fns.values():
        if not fn.tracks_progress:
            fn.queue = False
        if fn.trigger_mode == "once":
            fn.trigger_mode = "multiple"
        if fn.fn is not None:
            fn.fn = _in_words(fn.fn, len(fn.outputs))


def _as_sent(value: Any) -> Any:
    return value


def _in_words(handler: Callable[..., Any], outputs: int) -> Callable[..., Any]:
    """Return a handler that says what went wrong and changes nothing on the page, instead of raising an exception."""

    @functools.wraps(handler)
    def call(*values: Any, **more: Any) -> Any:
        try:
            return handler(*values, **more)
        except gr.Error as error:
            say(str(error.message), "error", error.title)
        except Exception:
            _LOG.exception("a call of a page failed")
            say("The program made a mistake here; its log says which.", "error")
        return gr.skip() if outputs == 1 else [gr.skip()] * outputs

    return call
