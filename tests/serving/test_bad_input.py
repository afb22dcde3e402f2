"""Bad input of many kinds: a clear error as JSON for each, nothing told of the machine, and a service that goes on."""

from __future__ import annotations

import base64
import io
import re
import struct
import zlib
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.serving.conftest import Running, picture, png

GOOD = png()
TOLD = re.compile(r"Traceback|/work|/tmp|/usr|site-packages|\.py\b|0x[0-9a-f]{6}|BytesIO|IP2P_LIMIT")


def form(data: Any = None, files: Any = None, **headers: str) -> dict[str, Any]:
    return {"data": {"prompt": "a"} if data is None else data, "files": files or {"image": GOOD}, "headers": headers}


def field(**values: Any) -> dict[str, Any]:
    return form({"prompt": "a", **values})


def image(data: bytes, name: str = "a.png") -> dict[str, Any]:
    return form(files={"image": (name, data, "image/png")})


def encoded(format: str, mode: str = "RGB", size: tuple[int, int] = (24, 16)) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, format)
    return file.getvalue()


def raw(content: bytes, kind: str = "application/json") -> dict[str, Any]:
    return {"content": content, "headers": {"content-type": kind}}


def url_json(image_url: Any) -> dict[str, Any]:
    return {"json": {"prompt": "a", "images": [{"image_url": image_url}]}}


def stating(width: int, height: int) -> bytes:
    """A PNG whose header states other sides than its pixels have."""
    data = encoded("PNG")
    header = data[12:16] + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


MULTIPART = "multipart/form-data; boundary=b"
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"
KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "no body": ({}, "must be multipart/form-data"),
    "another type of body": (raw(b"a=1", "text/plain"), "must be multipart"),
    "no boundary": (raw(b"x", "multipart/form-data"), "cannot be read"),
    "a torn form": (raw(b'--b\r\nContent-Disposition: form-data; name="im', MULTIPART), "Missing required parameter"),
    "a part without name": (raw(b"--b\r\nX: y\r\n\r\nz\r\n--b--\r\n", MULTIPART), "cannot be read"),
    "no image": ({"data": {"prompt": "a"}, "files": {"mask": GOOD}}, "'image'"),
    "no prompt": (form({"n": "1"}), "'prompt'"),
    "an empty prompt": (field(prompt="  "), "is empty"),
    "a prompt of a megabyte": (field(prompt="a" * 1_000_000), "cannot be read"),
    "a prompt that is a little long": (field(prompt="a" * 33_000), "33,000 characters"),
    "an image that is a text": ({"data": {"prompt": "a", "image": "x"}, "files": {"mask": GOOD}}, "must be a file"),
    "a prompt that is a file": (form({}, {"image": GOOD, "prompt": GOOD}), "not a file"),
    "a field twice": ({"data": {"prompt": ["a", "b"]}, "files": {"image": GOOD}}, "stands there twice"),
    "an unknown field": (field(strength="1"), "Unknown parameter: 'strength'"),
    "n of none": (field(n="0"), "'n'"),
    "n of a word": (field(n="many"), "'n'"),
    "a size of a word": (field(size="large"), "'size'"),
    "a size of zero": (field(size="0x64"), "'size'"),
    "a size beyond all": (field(size="8192x8192"), "'size'"),
    "a format of films": (field(output_format="gif"), "'output_format'"),
    "compression of PNG": (field(output_compression="5"), "jpeg or webp"),
    "transparent JPEG": (field(background="transparent", output_format="jpeg"), "png or webp"),
    "a URL as answer": (field(response_format="url"), "'response_format'"),
    "partial images of no stream": (field(partial_images="2"), "stream=true"),
    "a negative seed": (field(seed="-1"), "'seed'"),
    "a seed beyond all": (field(seed=str(2**64)), "'seed'"),
    "steps beyond all": (field(num_inference_steps="100000"), "at most 200"),
    "a scale of NaN": (field(guidance_scale="nan"), "'guidance_scale'"),
    "a scale beyond all": (field(image_guidance_scale="1e9"), "'image_guidance_scale'"),
    "an unknown model": (field(model="../../etc/passwd"), "does not do this"),
    "an empty image": (image(b""), "not a readable image"),
    "no image at all": (image(b"GIF89a and nothing more"), "the image"),
    "half an image": (image(GOOD[1][: len(GOOD[1]) // 2]), "truncated"),
    "a script of PostScript": (image(POSTSCRIPT), "not a readable"),
    "a drawing of SVG": (image(SVG), "not a readable"),
    "a bomb of 900 megapixels": (image(stating(30_000, 30_000)), "the image"),
    "50 megapixels": (image(stating(10_000, 5_000)), "at most 40,000,000"),
    "17 images": (form(files=[("image[]", GOOD)] * 17), "At most 16 images"),
    "two masks": (form(files=[("image", GOOD), ("mask", GOOD), ("mask", GOOD)]), "one mask"),
    "a mask of another size": (form(files={"image": GOOD, "mask": png(picture((8, 8)))}), "the mask is 8 x 8"),
    "more than the queue holds": (form({"prompt": "a", "n": "10"}), "more than the queue holds"),
    "JSON that is none": (raw(b"{"), "no JSON"),
    "JSON that is a list": ({"json": [1]}, "must be a JSON object"),
    "JSON without end": (raw(b"[" * 100_000), "no JSON"),
    "JSON with a key twice": (raw(b'{"prompt": 1, "prompt": 2}'), "twice"),
    "JSON without images": ({"json": {"prompt": "a"}}, "'images'"),
    "an address to fetch": (url_json("http://169.254.169.254/latest/meta-data"), "nothing is fetched"),
    "a file to read": (url_json("file:///etc/passwd"), "nothing is fetched"),
    "base64 that is none": (url_json("data:image/png;base64,!!!"), "no base64"),
    "an identity of a file": ({"json": {"prompt": "a", "images": [{"file_id": "file-1"}]}}, "nothing is fetched"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_is_a_clear_error(service: Running, kind: str) -> None:
    request, message = KINDS[kind]
    answer = httpx.post(f"{service.url}/v1/images/edits", timeout=30, **request)
    assert 400 <= answer.status_code < 500, answer.text
    error = answer.json()["error"]
    assert message in error["message"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["code"]
    assert not TOLD.search(answer.text)
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/images/edits", 405),
        ("POST", "/v1/images/variations", 404),
        ("GET", "/v1/models/..%2f..%2fetc%2fpasswd", 404),
        ("POST", "/v1/images/generations", 400),
        ("GET", "/docs", 404),
    ],
)
def test_other_addresses_are_clear_errors_too(service: Running, method: str, path: str, status: int) -> None:
    answer = httpx.request(method, service.url + path)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert not TOLD.search(answer.text)


def test_images_may_come_as_data_urls_in_json(service: Running) -> None:
    url = f"data:image/png;base64,{base64.b64encode(GOOD[1]).decode()}"
    answer = httpx.post(
        f"{service.url}/v1/images/edits", json={"prompt": "a", "seed": 3, "images": [{"image_url": url}]}
    )
    same = httpx.post(f"{service.url}/v1/images/edits", data={"prompt": "a", "seed": "3"}, files={"image": GOOD})
    assert answer.json()["data"] == same.json()["data"]


def test_the_service_goes_on(service: Running) -> None:
    assert service.health() == {"status": "ok", "held": 0}
