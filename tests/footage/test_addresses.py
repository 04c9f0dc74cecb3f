"""Passwords in stream URLs never survive `redact`; the rest of the text does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.footage.addresses import redact


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("rtsp://admin:hunter2@10.0.0.7:554/stream1", "rtsp://***@10.0.0.7:554/stream1"),
        ("rtsp://token@10.0.0.7/a", "rtsp://***@10.0.0.7/a"),
        ("RTSPS://a:p%40ss@cam.local/x", "RTSPS://***@cam.local/x"),
        ("rtsp://a:p@s/s?w#d@cam/x", "rtsp://***@cam/x"),
        ("http://cam/video.cgi?user=admin&pwd=12345&fps=5", "http://cam/video.cgi?user=***&pwd=***&fps=5"),
        ("http://cam/v?loginpas=abc#x", "http://cam/v?loginpas=***#x"),
        ("cannot open 'rtsp://a:b@c/d': refused", "cannot open 'rtsp://***@c/d': refused"),
        ("rtsp://a:b@c/1 and http://d:e@f/2", "rtsp://***@c/1 and http://***@f/2"),
        ("rtsp:/a:b@c/d mistyped", "rtsp:/***@c/d mistyped"),
        ("admin:1234@10.0.0.7/stream1: no such file", "***@10.0.0.7/stream1: no such file"),
        ("rtsp://a:it's\"<x>@cam/1", "rtsp://***@cam/1"),
        ("list.yaml:3: camera a@b, 12:30 at x", "list.yaml:3: camera a@b, 12:30 at x"),
        ("rtsp://10.0.0.7/stream1", "rtsp://10.0.0.7/stream1"),
        ("videos/cam1.mp4 mailto me@example.org", "videos/cam1.mp4 mailto me@example.org"),
        ("http://cam/live?fps=5&size=640", "http://cam/live?fps=5&size=640"),
    ],
)
def test_hides_logins_and_keeps_the_rest(text: str, wanted: str) -> None:
    assert redact(text) == wanted


@given(st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1).map("Z9".__add__))
def test_no_password_survives_whatever_its_characters(password: str) -> None:
    shown = redact(f"opening rtsp://admin:{password}@camera.local:554/stream1 failed")
    assert "Z9" not in shown
    assert shown.endswith("camera.local:554/stream1 failed")


@given(st.text())
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    assert redact(redact(text)) == redact(text)
