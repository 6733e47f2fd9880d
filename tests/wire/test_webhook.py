"""What a webhook is told of a run, and that none of it holds the run up or shows the address."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from lrvmotion.events import Message, Move, RunEnded, RunStarted
from lrvmotion.notify import webhook
from lrvmotion.notify.webhook import Webhook

TOKEN = "t0ken-5e1f"


@contextmanager
def chat(*answers: int, wait_s: float = 0.0):
    """Serve the *answers* one after the other, then 200; yield the address and what was received."""
    received: list[tuple[str, str, dict]] = []
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, self.headers["Content-Type"], json.loads(body)))
            time.sleep(wait_s)
            code = left.pop(0) if left else 200
            self.send_response(code)
            if code in {302, 307}:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self):
            received.append((self.path, "GET", {}))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/hooks/{TOKEN}", received
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(webhook, "WAIT_S", 0.01)


def move(vm: str, state, **more) -> Move:
    return Move(vm=vm, state=state, source_host="a", target_host="b", **more)


def events():
    return [
        RunStarted(run="abc234", mode="proxy", journal="j", vms=("db", "web", "old")),
        move("db", "running", percent=3), move("db", "success", percent=100),
        move("web", "error", reason="the disk is full"), move("old", "held", reason="it has a snapshot"),
        RunEnded(run="abc234", outstanding=4),
    ]  # fmt: skip


def tell(url: str) -> list[Message]:
    said: list = []
    with Webhook(url, said.append) as told:
        for event in events():
            told(event)
    assert all(TOKEN not in repr(one) for one in said)
    return said


def test_start_each_vm_that_did_not_move_and_the_end_are_told():
    """One message each, as JSON that chat systems show as it is; progress and success are not news."""
    with chat() as (url, received):
        assert tell(url) == []
    assert {(path, kind) for path, kind, _ in received} == {(f"/hooks/{TOKEN}", "application/json")}
    documents = [document for *_, document in received]
    assert [one["event"] for one in documents] == ["run_started", "vm_not_moved", "vm_not_moved", "run_ended"]
    assert all((one["schema"], one["run"], one["mode"]) == (1, "abc234", "proxy") for one in documents)
    assert [one["text"] for one in documents][1:3] == ["web: error: the disk is full", "old: held: it has a snapshot"]
    assert documents[-1]["states"] == {"success": 1, "error": 1, "held": 1}
    assert "4 settings remain changed" in documents[-1]["text"]


def test_a_server_in_trouble_is_tried_three_times():
    """What passes is not a failure."""
    with chat(503, 429) as (url, received):
        assert tell(url) == []
    assert len(received) == 4 + 2


@pytest.mark.parametrize(("answers", "count"), [((500,) * 12, 12), ((404,) * 4, 4)], ids=["trouble", "refused"])
def test_a_failure_is_said_once_by_the_host_alone(answers, count):
    """Not once a VM; and the address, which may hold a token, stays ours."""
    with chat(*answers) as (url, received):
        (said,) = tell(url)
    assert len(received) == count
    assert "127.0.0.1" in said.text


@pytest.mark.parametrize("code", [302, 307])
def test_it_follows_nobody_elsewhere(code):
    """A redirect would take the message to an address that nobody configured, or lose it: it is a failure."""
    with chat(*(code,) * 4) as (url, received):
        (said,) = tell(url)
    assert {path for path, *_ in received} == {f"/hooks/{TOKEN}"}
    assert str(code) in said.text


def test_an_address_where_nobody_listens_is_said():
    """The run goes on."""
    with chat() as (url, _):
        pass
    (said,) = tell(url)
    assert "refused" in said.text.lower()


def test_no_event_waits_for_a_slow_server():
    """The driver goes on while the thread waits; the end waits for a bounded time."""
    with chat(wait_s=0.3) as (url, received):
        said: list = []
        with Webhook(url, said.append) as told:
            began = time.monotonic()
            for event in events():
                told(event)
            took = time.monotonic() - began
    assert took < 0.2
    assert (len(received), said) == (4, [])


def test_what_does_not_fit_into_the_queue_is_dropped_and_said(monkeypatch):
    """Memory is bounded; the run waits for nobody."""
    monkeypatch.setattr(webhook, "MOST", 2)
    with chat(wait_s=0.05) as (url, _):
        said: list = []
        with Webhook(url, said.append) as told:
            for number in range(50):
                told(move(f"vm{number}", "held", reason="x"))
            time.sleep(0.3)
    (one,) = said
    assert "waited" in one.text
