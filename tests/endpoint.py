"""A small OpenAI-compatible server on loopback that plays a script: replies, faults, delays."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

TRICKLE_SECONDS = 0.3  # between two bytes
READ = "Nothing was confirmed."
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


@dataclass(frozen=True)
class Answer:
    """One entry of the script."""

    text: str | None = ""
    status: int = 200
    message: str = "scripted fault"  # of a status other than 200
    finish_reason: str = "stop"
    delay: float = 0.0  # seconds before the first byte
    hang: bool = False  # never answer
    trickle: bool = False  # a byte now and then
    cut: bool = False  # break the connection in the middle
    error_event: bool = False  # of a streamed reply: an error takes the place of its second half
    body: str | None = None  # send exactly this
    counted: bool = True  # say how many tokens it took


class Endpoint:
    """`with Endpoint() as endpoint: endpoint.script = [...]`.

    What was asked stands in endpoint.requests.
    """

    def __init__(self) -> None:
        self.script: list[Answer | str] = []
        self.requests: list[dict[str, Any]] = []
        # The script for what is asked when the verdict stands, which comes beside the other.
        self.reading: list[Answer | str] = []
        self.readings: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.closing = threading.Event()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = json.loads(data) if data.startswith(b"{") else {}
                endpoint.keys.append(self.headers.get("Authorization"))
                if is_reading(body):
                    endpoint.readings.append(body)
                    answer = endpoint.reading.pop(0) if endpoint.reading else READ
                else:
                    endpoint.requests.append(body)
                    answer = (
                        endpoint.script.pop(0)
                        if endpoint.script
                        else "Nothing left.\n\nALL_COMPLETED"
                    )
                try:
                    endpoint.answer(
                        self, body, Answer(answer) if isinstance(answer, str) else answer
                    )
                except (BrokenPipeError, ConnectionResetError):
                    pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Endpoint:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler, body: dict[str, Any], answer: Answer) -> None:
        if answer.hang:
            self.closing.wait()
            return
        time.sleep(answer.delay)
        streamed = bool(body.get("stream")) and answer.status == 200 and answer.body is None
        data = b"".join(_events(answer)) if streamed else _whole(answer)
        handler.send_response(answer.status)
        handler.send_header("Content-Type", "text/event-stream" if streamed else "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.close_connection = True
        for byte in data if answer.trickle else b"":
            handler.wfile.write(bytes([byte]))
            if self.closing.wait(TRICKLE_SECONDS):
                return
        if not answer.trickle:
            handler.wfile.write(data[: len(data) // 2] if answer.cut else data)


def is_reading(body: dict[str, Any]) -> bool:
    """Whether a request asks what to make of a result."""
    return str(body.get("messages", [{}])[-1].get("content")).startswith(
        "An experiment has ended, and its verdict stands."
    )


def _whole(answer: Answer) -> bytes:
    if answer.body is not None:
        return answer.body.encode()
    if answer.status != 200:
        return json.dumps(
            {"error": {"message": answer.message, "type": "scripted", "code": str(answer.status)}}
        ).encode()
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": answer.text},
        "finish_reason": answer.finish_reason,
    }
    completion = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "any",
        "choices": [choice],
    }
    return json.dumps(completion | ({"usage": USAGE} if answer.counted else {})).encode()


def _events(answer: Answer) -> Iterator[bytes]:
    def event(choices: list[dict[str, Any]], **fields: Any) -> bytes:
        chunk = {
            "id": "x",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": "any",
            "choices": choices,
            **fields,
        }
        return b"data: " + json.dumps(chunk).encode() + b"\n\n"

    yield event(
        [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]
    )
    text = answer.text or ""
    for start in range(0, len(text) // 2 if answer.error_event else len(text), 20):
        yield event(
            [{"index": 0, "delta": {"content": text[start : start + 20]}, "finish_reason": None}]
        )
    if answer.error_event:
        yield (
            b"data: "
            + json.dumps(
                {"error": {"message": answer.message, "type": "server_error", "code": "500"}}
            ).encode()
            + b"\n\n"
        )
        return
    yield event([{"index": 0, "delta": {}, "finish_reason": answer.finish_reason}])
    yield event([], usage=USAGE)
    yield b"data: [DONE]\n\n"
