"""Replicas on a local Ray answer as the service of one process does, and end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import openai
import pytest
from processes import free_port

from tests.serving.conftest import decoded, png

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_replicas_on_a_local_ray_answer_and_end(tmp_path: Path) -> None:
    pytest.importorskip("ray.serve")
    port, log = free_port(), tmp_path / "log.txt"
    words = ["serve", "backend=ray", f"port={port}", "checkpoint=instruct_pix2pix", "threads=1", "replicas=1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_DISABLE_IMPORT_WARNING": "1", "RAY_ADDRESS": ""}
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "ip2p_lightning", *words], stdout=file, stderr=file, env=environment, cwd=tmp_path
        )
    try:
        end = time.monotonic() + 900
        while "serving" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=2)
        data = client.images.edit(image=png(), prompt="make it night", n=2, extra_body={"seed": 3}).data or []
        assert [decoded(one.b64_json).size for one in data] == [(24, 16)] * 2
        events = list(client.images.edit(image=png(), prompt="make it night", stream=True))
        assert events[-1].type == "image_edit.completed"
        with pytest.raises(openai.BadRequestError, match="'n'"):
            client.images.edit(image=png(), prompt="a", n=11)
        process.send_signal(signal.SIGTERM)
        assert process.wait(90) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
