"""A network camera for tests: MJPEG over HTTP. Loaded by the fixture `camera_server`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
from numpy.typing import NDArray


class CameraServer:
    """Sends pictures to whoever connects, from number 0 on, and closes each connection after `pictures` of them.

    picture_of: the picture for a path and a number.  connections, paths: what was asked for so far.
    refuses_after: so many connections are answered, later ones refused; None refuses nobody. Setting it to 0 also ends
    those that are open.
    """

    def __init__(self, picture_of: Callable[[str, int], NDArray[Any]], pictures: int, period_s: float = 0.01) -> None:
        self.connections = 0
        self.paths: list[str] = []
        self.refuses_after: int | None = None
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.connections += 1
                camera.paths.append(self.path)
                if camera.refuses_after is not None and camera.connections > camera.refuses_after:
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                for number in range(pictures):
                    if camera.refuses_after == 0:
                        return
                    encoded = cv2.imencode(".jpg", picture_of(self.path, number))[1].tobytes()
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(encoded)}\r\n\r\n"
                    try:
                        self.wfile.write(head.encode() + encoded + b"\r\n")
                    except OSError:
                        return
                    time.sleep(period_s)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
