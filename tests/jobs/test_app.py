"""`ip2p app` as a command of its own: the page for a model of the hub."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from hub_server import hub
from processes import free_port

from ip2p_lightning import shipped

pytest.importorskip("gradio", reason="the extra `app` is not installed")


@pytest.mark.slow
def test_a_model_is_fetched_from_the_hub_and_the_page_asks_it_for_nothing_else(tmp_path: Path) -> None:
    shutil.copytree(shipped.path("instruct_pix2pix"), tmp_path / "hub" / "someone" / "editor")
    words = [sys.executable, "-m", "ip2p_lightning", "app", "checkpoint=someone/editor", f"port={free_port()}"]
    with hub(tmp_path / "hub") as (address, asked):
        environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
        environment |= {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1"}
        process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout is not None
        try:
            said: list[str] = []
            for line in process.stdout:
                said.append(line)
                if found := re.match(r"(http://\S+) +someone/editor; Ctrl-C", line):
                    break
            else:
                pytest.fail("".join(said))
            fetched = len(asked)
            page = httpx.get(found[1], timeout=60)
            assert page.is_success
            assert "someone/editor" in page.text
            assert len(asked) == fetched
            process.send_signal(signal.SIGTERM)
            process.stdout.read()
            assert process.wait(60) == 0
        finally:
            process.kill()
    other = [path for path in asked if "someone/editor" not in path]
    assert set(other) <= {"api/agent-harnesses"}, "huggingface_hub itself asks for that, once"
