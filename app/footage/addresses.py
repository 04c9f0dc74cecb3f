"""Keeping secrets out of everything that is shown, logged or written.

A stream URL often carries a password: `rtsp://user:password@host/path` or `http://host/path?pwd=…`. Every text that
may contain one goes through `redact` before it reaches a log, a file, an error message or the screen.
"""

from __future__ import annotations

import re

HIDDEN = "***"

# Up to the last @ of the word: a password may itself contain : / ? # or @. Hiding too much is the safe mistake.
_LOGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.\-]+:/+)\S*@", re.IGNORECASE)

# The same without a scheme, as in admin:1234@10.0.0.7/stream1.
_BARE_LOGIN = re.compile(r"(?<![^\s'\"(\[=/])[^\s/:@'\"]+:[^\s/@]+@")

# A value behind a telling key, as in ?user=admin&pwd=1234 (many cameras are asked that way).
_QUERY = re.compile(
    r"(?P<key>[?&;][\w.\-]*(?:user|usr|login|pass|pwd|token|key|secret|auth|sig|cred)[\w.\-]*=)[^\s&;#]+",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Return `text` with the logins of all URLs in it hidden, and the values of query fields that may be secret."""
    text = _LOGIN.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = _BARE_LOGIN.sub(f"{HIDDEN}@", text)
    return _QUERY.sub(rf"\g<key>{HIDDEN}", text)


def is_stream_url(source: str) -> bool:
    scheme, mark, _ = source.partition("://")
    return bool(mark) and scheme.isascii() and scheme.replace("+", "").isalnum()


def name_of_url(url: str) -> str:
    """Return a camera name from the host and path of a URL, without login, query and port."""
    address = redact(url).partition("://")[2].rpartition("@")[2].partition("?")[0].partition("#")[0]
    host, _, path = address.partition("/")
    return "_".join([host.partition(":")[0], *(part for part in path.split("/") if part)])
