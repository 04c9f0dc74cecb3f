"""A network camera for tests: MJPEG over HTTP, and whatever may go wrong. Loaded by the fixture `camera_server`."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import cv2
from numpy.typing import NDArray

Mode = Literal["live", "frozen", "silent", "down", "unauthorized", "forbidden"]


class CameraServer:
    """Sends pictures to whoever connects, from number 0 on, and closes each connection after `pictures` of them.

    picture_of: the picture for a path and a number.  connections, paths: what was asked for so far.
    sent: how many pictures each path has sent.
    refuses_after: so many connections are answered, later ones refused; None refuses nobody. Setting it to 0 also ends
    those that are open.
    modes: what a path does, "live" where nothing is said, also in connections that are open: `frozen` sends its last
    picture again and again, `silent` sends nothing, `down` hangs up, the others answer 401 or 403.
    """

    def __init__(self, picture_of: Callable[[str, int], NDArray[Any]], pictures: int, period_s: float = 0.01) -> None:
        self.connections = 0
        self.paths: list[str] = []
        self.sent: Counter[str] = Counter()
        self.refuses_after: int | None = None
        self.modes: dict[str, Mode] = {}
        self._closed = False
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.connections += 1
                camera.paths.append(self.path)
                mode = camera.modes.get(self.path, "live")
                if mode == "down":
                    return
                if mode in ("unauthorized", "forbidden"):
                    self.send_error(401 if mode == "unauthorized" else 403)
                    return
                if camera.refuses_after is not None and camera.connections > camera.refuses_after:
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                number = 0
                for _ in range(pictures):
                    mode = camera.modes.get(self.path, "live")
                    if camera.refuses_after == 0 or camera._closed or mode not in ("live", "frozen", "silent"):
                        return
                    if mode != "silent" and not self._send(picture_of(self.path, number)):
                        return
                    number += mode == "live"
                    time.sleep(period_s)

            def _send(self, picture: NDArray[Any]) -> bool:
                encoded = cv2.imencode(".jpg", picture)[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(encoded)}\r\n\r\n"
                try:
                    self.wfile.write(head.encode() + encoded + b"\r\n")
                except OSError:
                    return False
                camera.sent[self.path] += 1
                return True

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._closed = True
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
