"""A judge behind HTTP: it looks at the pictures it is sent, and answers like an OpenAI-compatible server."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

Answer = Callable[[str, list[np.ndarray]], Any]


def brightness(text: str, pictures: list[np.ndarray]) -> str:
    """Marks that say what was seen: with two pictures, how much brighter the second is; with one, how bright it is."""
    light = [picture.mean() / 25.5 for picture in pictures]
    first = light[0] if len(light) == 1 else min(10.0, max(0.0, light[1] - light[0]))
    return json.dumps({"reason": f"{len(pictures)} picture(s)", "marks": [round(first, 3), 9]})


@contextmanager
def judge_server(answer: Answer = brightness) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The URL of a server that runs for a while, and the requests it has had."""
    requests: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append({"path": self.path, "key": self.headers.get("Authorization"), **body})
            content = body["messages"][0]["content"]
            urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
            files = [io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,"))) for url in urls]
            text = answer(content[-1]["text"], [np.asarray(Image.open(file)) for file in files])
            status, text = text if isinstance(text, tuple) else (200, text)
            data = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
