"""Bad input of one table at three doors, API, page and shell: one sentence, nothing of the machine, nothing run.

What only the API can be sent (forms, JSON, headers) is in `test_bad_input`; what only the page can be sent, at the end.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

pytest.importorskip("gradio", reason="the extra `app` is not installed")
from ip2p_lightning.cli import main
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.serving.app import handlers, parts
from ip2p_lightning.serving.app.session import Session, Studio
from ip2p_lightning.serving.engines import EditEngine
from ip2p_lightning.serving.queue import WorkQueue
from tests.serving.conftest import Running, png
from tests.serving.test_bad_input import POSTSCRIPT, SVG, TOLD, encoded, stating

GOOD = png()[1]
LONG = "a" * 33_000


@dataclass(frozen=True)
class Bad:
    """An edit of which something is wrong.

    Args:
        says: what every door answers, a pattern; "" where it is taken as the words that it is.
        image, mask, prompt: of the edit.
        api, page, shell: values by the door's own names; None where the door knows nothing of the kind.
    """

    says: str
    image: bytes = GOOD
    prompt: str = "make it night"
    mask: bytes | None = None
    api: dict[str, str] | None = field(default_factory=dict)
    page: dict[str, Any] | None = field(default_factory=dict)
    shell: dict[str, str] | None = field(default_factory=dict)


def value(says: str, api: dict[str, str], page: dict[str, Any] | None, shell: dict[str, str] | None) -> Bad:
    return Bad(says, api=api, page=page, shell=shell)


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(10**7))
    return file.getvalue()


def changed(data: bytes, place: int, to: bytes) -> bytes:
    return data[:place] + to + data[place + len(to) :]


READ = "image|truncated|pixels"
JPEG, WEBP, BMP, GIF, TIFF = (encoded(kind) for kind in ("JPEG", "WEBP", "BMP", "GIF", "TIFF"))
IMAGES = {
    "an empty image": b"",
    "a text": b"no image at all",
    "half a PNG": GOOD[: len(GOOD) // 2],
    "a PNG of another checksum": changed(GOOD, 40, b"\0\0\0\0"),
    "a PNG without width": stating(0, 16),
    "a PNG of 900 megapixels": stating(30_000, 30_000),
    "a PNG of 50 megapixels": stating(10_000, 5_000),
    "a PNG of two billion pixels a side": stating(2**31 - 1, 2**31 - 1),
    "half a JPEG": JPEG[: len(JPEG) // 3],
    "a JPEG that only begins": JPEG[:4],
    "half a WebP": WEBP[: len(WEBP) // 2],
    "a BMP that states two billion rows": changed(BMP, 22, struct.pack("<i", 2**31 - 1)),
    "a GIF that only begins": GIF[:10],
    "half a TIFF": TIFF[: len(TIFF) // 2],
    "a script of PostScript": POSTSCRIPT,
    "a drawing of SVG": SVG,
    "a page of HTML": b"<html><script>alert(1)</script></html>",
    "a PDF": b"%PDF-1.7\n1 0 obj<</OpenAction<</S/Launch/F(/bin/sh)>>>>endobj",
    "an archive": zipped(),
    "a pickle": b"\x80\x04\x95\x0e\0\0\0\0\0\0\0\x8c\x02os\x8c\x06system\x93.",
}
TAKEN = {
    "a reference of the configuration": "${oc.env:HOME}",
    "a command": "$(touch canary); `touch canary` | touch canary",
    "markup": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "a path": "../../../../etc/passwd",
    "right to left": "make it \u202enight\u202c",
    "emoji of many parts": "\U0001f468\u200d\U0001f469\u200d\U0001f467 at night",
    "a template": "{{7*7}} {0.__class__} %s%n",
}
KINDS: dict[str, Bad] = {
    **{name: Bad(READ, image=data) for name, data in IMAGES.items()},
    **{name: Bad("", prompt=prompt) for name, prompt in TAKEN.items()},
    "an empty prompt": Bad("empty|'prompt'", prompt=""),
    "a blank prompt": Bad("empty", prompt=" \t "),
    "a prompt beyond all": Bad("33,000", prompt=LONG, shell=None),
    "a broken mask": Bad("mask", mask=b"no image"),
    "a mask of 900 megapixels": Bad("mask", mask=stating(30_000, 30_000)),
    "a mask of another size": Bad("8 x 8", mask=encoded("PNG", size=(8, 8)), page=None),
    "a negative seed": value("seed", {"seed": "-1"}, {"seed": -1}, {"seeds": "[-1]"}),
    "a seed beyond all": value("seed", {"seed": str(2**65)}, {"seed": 2**65}, {"seeds": f"[{2**65}]"}),
    "a seed that is a word": value("seed|int", {"seed": "x"}, {"seed": "x"}, {"seeds": "[x]"}),
    "no steps": value("steps", {"num_inference_steps": "0"}, {"steps": 0}, {"steps": "0"}),
    "half a step": value("steps", {"num_inference_steps": "1.5"}, {"steps": 1.5}, {"steps": "1.5"}),
    "steps beyond all": value("steps", {"num_inference_steps": "100000"}, {"steps": 10**5}, {"steps": "100000"}),
    "a scale of NaN": value("scale", {"guidance_scale": "nan"}, {"text_scale": float("nan")}, {"text_scale": "nan"}),
    "an endless scale": value("scale", {"guidance_scale": "inf"}, {"text_scale": float("inf")}, {"text_scale": "inf"}),
    "a negative scale": value("scale", {"image_guidance_scale": "-1"}, {"image_scale": -1}, {"image_scale": "-1"}),
    "a scale beyond all": value("scale", {"guidance_scale": "1e9"}, {"text_scale": 1e9}, {"text_scale": "1e9"}),
    "a scale that is a word": value("scale", {"guidance_scale": "x"}, {"text_scale": "x"}, {"text_scale": "x"}),
    "no alternatives": value("'n'|alternatives|nothing", {"n": "0"}, {"count": 0}, {"seeds": "[]"}),
    "a billion alternatives": value("'n'|alternatives", {"n": "1000000000"}, {"count": 10**9}, None),
    "an unknown model": value("does not", {"model": "../../etc/passwd"}, None, {"checkpoint": "../../etc/nothing"}),
    "an unknown field": value("trust_remote_code", {"trust_remote_code": "1"}, None, {"trust_remote_code": "1"}),
}  # fmt: skip
FEW = {"a text", "half a PNG", "a PNG of 900 megapixels", "a PDF", "a reference of the configuration", "a command"}
"""Kinds of images and words that the shell is asked, too; the reading of images is the same for all."""
SHELL = [
    name for name, bad in KINDS.items() if bad.shell is not None and (name in FEW or name not in {*IMAGES, *TAKEN})
]


def check(bad: Bad, answer: str, refused: bool) -> None:
    assert refused == bool(bad.says), answer
    assert re.search(bad.says, answer, re.IGNORECASE), answer
    assert "\n" not in answer.strip() or not refused, answer
    assert "Traceback" not in answer


@pytest.mark.parametrize("kind", [name for name, bad in KINDS.items() if bad.api is not None])
def test_at_the_api(service: Running, kind: str) -> None:
    bad = KINDS[kind]
    files = {"image": ("a.png", bad.image, "image/png")}
    if bad.mask is not None:
        files["mask"] = ("m.png", bad.mask, "image/png")
    data = {"prompt": bad.prompt, **(bad.api or {})}
    answer = httpx.post(f"{service.url}/v1/images/edits", data=data, files=files, timeout=60)
    refused = 400 <= answer.status_code < 500
    assert refused or answer.status_code == 200
    check(bad, answer.json()["error"]["message"] if refused else "", refused)
    assert not TOLD.search(answer.text if refused else "")


@pytest.fixture(scope="module")
def studio(editor: TrainedEditor) -> Iterator[Studio]:
    with WorkQueue(capacity=4) as queue:
        yield Studio(EditEngine(editor), queue, "tiny")


@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")
@pytest.mark.parametrize("kind", [name for name, bad in KINDS.items() if bad.page is not None])
def test_at_the_page(studio: Studio, kind: str, tmp_path: Path) -> None:
    bad, session = KINDS[kind], Session(studio)
    (tmp_path / "image.png").write_bytes(bad.image)
    values = {"text_scale": 1.0, "image_scale": 1.0, "steps": 1, "seed": 0, "count": 1, "mask": None} | (bad.page or {})
    if bad.mask is not None:
        with pytest.raises(ValueError, match=bad.says) as error:
            parts._painted([bad.mask])
        assert not TOLD.search(str(error.value))
        return
    *_, last = handlers.edit(session, str(tmp_path / "image.png"), bad.prompt, **values)
    status = re.sub(r"\\(.)", r"\1", last[-1])
    check(bad, status, status.startswith("⚠"))
    assert not TOLD.search(status)
    assert "/" not in status or bad.prompt in status


@pytest.mark.parametrize("kind", SHELL)
def test_at_the_shell(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = KINDS[kind]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "image.png").write_bytes(bad.image)
    words = {"checkpoint": "instruct_pix2pix", "image": "image.png", "instruction": bad.prompt, "output": "out.png"}
    if bad.mask is not None:
        (tmp_path / "mask.png").write_bytes(bad.mask)
        words["mask"] = "mask.png"
    code = main(["edit", *(f"{key}={text}" for key, text in {**words, **(bad.shell or {})}.items())])
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ip2p edit: ")]
    check(bad, "".join(said), code == 2)
    assert (tmp_path / "out.png").exists() == (code == 0)
    assert not (tmp_path / "canary").exists()


ASKED = {
    "a file of the machine": ("GET", "/gradio_api/file=/etc/passwd", None),
    "a file above the folder": ("GET", "/gradio_api/file=../../../../etc/passwd", None),
    "a file by its address": ("GET", "/gradio_api/proxy=http://169.254.169.254/latest", None),
    "no function": ("POST", "/gradio_api/queue/join", {"data": [], "fn_index": 10**6, "session_hash": "a"}),
    "no JSON": ("POST", "/gradio_api/queue/join", b"{"),
    "a call past the queue": ("POST", "/gradio_api/api/edit", {"data": ["/etc/passwd"]}),
    "an upload without a file": ("POST", "/gradio_api/upload", b"x"),
    "a history of what visitors did": ("GET", "/gradio_api/runs", None),
    "a component's method": ("POST", "/gradio_api/component_server", {"fn_name": "__class__", "component_id": 1}),
}


@pytest.fixture(scope="module")
def page(studio: Studio) -> Iterator[Any]:
    from starlette.testclient import TestClient

    from ip2p_lightning.serving.app.page import page, served

    with TestClient(served(page(studio)), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")
@pytest.mark.parametrize("kind", ASKED)
def test_what_only_the_page_can_be_sent(page: Any, kind: str) -> None:
    method, path, body = ASKED[kind]
    sent = {"json": body} if isinstance(body, dict) else {"content": body}
    answer = page.request(method, path, **sent)
    assert 400 <= answer.status_code < 600
    assert "root:" not in answer.text
    assert not TOLD.search(answer.text.replace(path.partition("=")[2] or "\0", ""))


def test_a_page_takes_no_file_of_the_machine_for_an_upload() -> None:
    import asyncio

    upload: Callable[[str], Any] = parts.ImageUpload(label="x").async_move_resource_to_block_cache
    for address in ("http://169.254.169.254/latest", "file:///etc/passwd", "ftp://x/y"):
        with pytest.raises(Exception, match="the file itself"):
            asyncio.run(upload(address))
    assert parts._path(None, SimpleNamespace(path="x")) == "x"


def test_there_are_sixty_kinds_and_more() -> None:
    from tests.serving.test_bad_input import KINDS as OF_THE_API

    assert len({*KINDS, *OF_THE_API, *ASKED}) >= 60
