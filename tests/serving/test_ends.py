"""How a service ends: gracefully when it is told to, and clearly to its clients when it is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import openai
import pytest

from ip2p_lightning.serving.api import create_app
from ip2p_lightning.serving.engines import EditEngine
from ip2p_lightning.serving.models import Models
from ip2p_lightning.serving.queue import WorkQueue
from tests.serving.conftest import Moody, Running, png, serve


def make() -> Any:
    return create_app(Models({"moody": EditEngine(Moody())}), WorkQueue(), timeout=20, grace=20)


def in_work(running: Running, prompt: str, **options: Any) -> tuple[threading.Thread, list[Any]]:
    """A request that is being worked on, and what becomes of it."""
    found: list[Any] = []

    def ask() -> None:
        try:
            found.append(running.client(**options).images.edit(image=png(), prompt=prompt))
        except openai.APIError as error:
            found.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while running.health()["held"] == 0:
        time.sleep(0.01)
    return thread, found


@pytest.mark.slow
def test_a_service_that_is_told_to_stop_finishes_what_is_in_work() -> None:
    with serve(make) as running:
        thread, found = in_work(running, "wait")
        os.kill(running.process.pid, signal.SIGTERM)
        time.sleep(0.5)
        with pytest.raises(openai.APIConnectionError):
            running.client().images.edit(image=png(), prompt="a")
        thread.join(30)
        assert found[0].data[0].b64_json
        running.process.join(60)
        assert running.process.exitcode == 0


def test_a_second_signal_ends_it_at_once() -> None:
    with serve(make) as running:
        thread, found = in_work(running, "wait")
        for _ in range(2):
            os.kill(running.process.pid, signal.SIGTERM)
            time.sleep(0.3)
        thread.join(8)
        assert isinstance(found[0], openai.APIError)


def test_a_killed_service_is_an_error_to_its_clients_and_its_successor_answers_those_who_try_again() -> None:
    with serve(make) as running:
        port = int(running.url.rsplit(":", 1)[1])
        thread, found = in_work(running, "wait")
        patient, answered = in_work(running, "wait", retries=0)
        os.kill(running.process.pid, signal.SIGKILL)
        for one in (thread, patient):
            one.join(20)
        assert all(isinstance(error, openai.APIConnectionError) for error in (*found, *answered))
        retried: list[Any] = []
        again = threading.Thread(
            target=lambda: retried.append(running.client(retries=8).images.edit(image=png(), prompt="a"))
        )
        again.start()
        time.sleep(0.2)
        with serve(make, port) as successor:
            again.join(30)
            assert retried[0].data[0].b64_json
            assert successor.health() == {"status": "ok", "held": 0}
