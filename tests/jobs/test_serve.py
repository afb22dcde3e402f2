"""`ip2p serve` as a command: it says where it is, answers, and ends with 0; what is wrong is said at once."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import time
from pathlib import Path

import openai
import pytest
from PIL import Image
from processes import start

from ip2p_lightning.cli import main
from ip2p_lightning.evaluation.preference import Item
from ip2p_lightning.jobs.app import quiet
from ip2p_lightning.serving.server import bind
from ip2p_lightning.serving.study.making import make_study
from tests.serving.conftest import decoded, png


@pytest.mark.slow
def test_the_command_serves_several_models_until_it_is_told_to_stop(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    words = ["serve", "port=0", "checkpoint=[instruct_pix2pix,mgie]", "text_to_image=text_to_image", "threads=1"]
    process = start(lambda: main(words), log)
    try:
        end = time.monotonic() + 120
        while not (found := re.search(r"serving (.*) at (http\S+);", log.read_text() if log.exists() else "")):
            assert time.monotonic() < end, log.read_text()
            assert process.is_alive(), log.read_text()
            time.sleep(0.1)
        assert found[1] == "instruct_pix2pix, mgie, text_to_image"
        client = openai.OpenAI(base_url=found[2], api_key="none", max_retries=0)
        data = client.images.edit(image=png(), prompt="make it night", model="mgie").data
        assert data[0].revised_prompt  # type: ignore[index]
        assert decoded(data[0].b64_json).size == (24, 16)  # type: ignore[index]
        os.kill(process.pid, signal.SIGTERM)
        process.join(90)
        assert process.exitcode == 0, log.read_text()
        text = log.read_text()
        assert "everything that was in work is done" in text
        assert re.search(r"POST /v1/images/edits 200 [\d.]+ s req_", text)
    finally:
        process.kill()


def test_what_is_wrong_is_said_before_a_model_is_opened(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        cases = {
            f"port={port}": "choose another port",
            "host=0.0.0.0": "lets other machines in",
            "port=70000": "0 to 65535",
            "checkpoint=mgei": "did you mean mgie",
            f"key_file={tmp_path}/none": "does not exist",
        }
        for word, message in cases.items():
            assert main(["serve", word]) == 2
            assert message in capsys.readouterr().err


@pytest.mark.parametrize("job", ["app", "study"])
def test_an_address_that_is_taken_is_said_by_every_server(
    job: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["app"]
    if job == "study":
        edits = {name: Image.new("RGB", (8, 8), name) for name in ("teal", "navy")}
        make_study([Item("a", "a bus", None, edits)], tmp_path / "study", catch=0)
        words = ["study", "serve", f"output={tmp_path / 'study'}"]
    with bind("127.0.0.1", 0) as taken:
        assert main([*words, f"port={taken.getsockname()[1]}"]) == 2
    assert "choose another port" in capsys.readouterr().err


def test_the_apps_files_go_to_a_folder_of_this_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED"):
        monkeypatch.setenv(name, "x")
    quiet(7)
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    (folder / "of a killed one").mkdir()
    quiet(7)
    assert not list(folder.iterdir())
    assert folder.stat().st_mode & 0o777 == 0o700, "as it must be, whoever made it wider"
    folder.rmdir()
    (tmp_path / "theirs").mkdir()
    folder.symlink_to(tmp_path / "theirs")
    with pytest.raises(ValueError, match="not a folder of yours"):
        quiet(7)
