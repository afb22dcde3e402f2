"""OpenAI's own client against a running service: what it gets, what it raises, and when it tries again."""

from __future__ import annotations

import threading
import time

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.request import EditRequest
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.serving.api import create_app
from ip2p_lightning.serving.engines import EditEngine
from ip2p_lightning.serving.keys import Keys
from ip2p_lightning.serving.models import Models
from ip2p_lightning.serving.queue import WorkQueue
from tests.serving.conftest import Moody, Running, decoded, picture, png, serve, tiny_editor

KEY = "sk-0123456789abcdef"


def alike(one: Image.Image, other: Image.Image) -> bool:
    """Equal up to one grey level."""
    difference = np.asarray(one.convert("RGB"), np.int16) - np.asarray(other.convert("RGB"), np.int16)
    return bool(np.abs(difference).max() <= 1)


def own(editor: TrainedEditor, instruction: str, seed: int, **sampling: float) -> Image.Image:
    request = EditRequest(picture((24, 16)), instruction, seed, SamplingSettings(**sampling))  # type: ignore[arg-type]
    return editor.answer([request])[0].image  # type: ignore[return-value]


def test_an_edit_is_the_editors_own(service: Running, editor: TrainedEditor) -> None:
    extra = {"seed": 7, "guidance_scale": 3.5, "image_guidance_scale": 1.25, "num_inference_steps": 3}
    answer = service.client().images.edit(image=png(), prompt="make it winter", extra_body=extra)
    assert answer.data
    assert alike(
        decoded(answer.data[0].b64_json), own(editor, "make it winter", 7, steps=3, text_scale=3.5, image_scale=1.25)
    )
    assert abs(answer.created - time.time()) < 60
    assert (answer.size, answer.background, answer.output_format) == ("24x16", "opaque", "png")
    assert answer._request_id.startswith("req_")  # type: ignore[union-attr]
    assert answer.data[0].seed == 7  # type: ignore[attr-defined]


def test_several_images_and_several_results_come_in_order(service: Running, editor: TrainedEditor) -> None:
    images = [png(), png(picture((16, 16), seed=1))]
    answer = service.client().images.edit(image=images, prompt="a", n=2, extra_body={"seed": 5})
    found = [decoded(data.b64_json) for data in answer.data or []]
    assert [image.size for image in found] == [(24, 16), (24, 16), (16, 16), (16, 16)]
    assert alike(found[0], own(editor, "a", 5))
    assert alike(found[1], own(editor, "a", 6))
    again = service.client().images.edit(image=png(), prompt="a")
    assert again.data[0].b64_json != service.client().images.edit(image=png(), prompt="a").data[0].b64_json  # type: ignore[index]


def test_a_mask_lets_its_transparent_part_change_alone(service: Running) -> None:
    mask = Image.new("RGBA", (24, 16), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (0, 0, 12, 16))
    answer = service.client().images.edit(image=png(), mask=png(mask, "RGBA"), prompt="a", extra_body={"seed": 5})
    image, before = decoded(answer.data[0].b64_json), picture((24, 16))  # type: ignore[index]
    assert image.crop((12, 0, 24, 16)).tobytes() == before.crop((12, 0, 24, 16)).tobytes()
    assert image.crop((0, 0, 12, 16)).tobytes() != before.crop((0, 0, 12, 16)).tobytes()


@pytest.mark.parametrize(
    ("options", "size", "format", "mode", "background"),
    [
        ({"size": "48x48"}, (48, 32), "PNG", "RGBA", "transparent"),
        ({"size": "auto", "background": "opaque"}, (24, 16), "PNG", "RGB", "opaque"),
        ({"output_format": "jpeg", "output_compression": 50}, (24, 16), "JPEG", "RGB", "opaque"),
        ({"output_format": "webp", "size": "16x1024"}, (16, 11), "WEBP", "RGBA", "transparent"),
    ],
)
def test_size_and_format_are_those_asked_for(service: Running, options, size, format, mode, background) -> None:
    layer = picture((24, 16)).convert("RGBA")
    layer.putalpha(128)
    answer = service.client().images.edit(image=png(layer, "RGBA"), prompt="a", model="gpt-image-1.5", **options)
    image = decoded(answer.data[0].b64_json)  # type: ignore[index]
    assert (image.size, image.format, image.mode) == (size, format, mode)
    assert (answer.size, answer.background) == (f"{size[0]}x{size[1]}", background)


def test_a_stream_shows_the_image_before_it_is_done(service: Running, editor: TrainedEditor) -> None:
    stream = service.client().images.edit(
        image=png(), prompt="a", stream=True, partial_images=3, extra_body={"seed": 5, "num_inference_steps": 8}
    )
    events = list(stream)
    assert [event.type for event in events] == ["image_edit.partial_image"] * 3 + ["image_edit.completed"]
    assert [event.partial_image_index for event in events[:3]] == [0, 1, 2]  # type: ignore[union-attr]
    last = decoded(events[-1].b64_json)
    assert alike(last, own(editor, "a", 5, steps=8))
    assert decoded(events[0].b64_json).size == last.size
    assert decoded(events[0].b64_json).tobytes() != last.tobytes()
    assert events[-1].usage.total_tokens == 0  # type: ignore[union-attr]


def test_what_the_model_writes_comes_back_and_may_be_given(service: Running, mgie: TrainedEditor) -> None:
    (mine,) = mgie.edit(picture((24, 16)), "make it winter", seed=1)
    client = service.client()
    data = client.images.edit(image=png(), prompt="make it winter", model="mgie", extra_body={"seed": 1}).data
    assert data[0].revised_prompt == mine.expressive_instruction  # type: ignore[index]
    extra = {"expressive_instruction": "a house in snow"}
    data = client.images.edit(image=png(), prompt="make it winter", model="mgie", extra_body=extra).data
    assert data[0].revised_prompt == "a house in snow"  # type: ignore[index]
    with pytest.raises(openai.UnprocessableEntityError, match="writes no expressive instruction"):
        client.images.edit(image=png(), prompt="make it winter", extra_body=extra)


def test_images_are_drawn_from_words(service: Running) -> None:
    client = service.client()
    answer = client.images.generate(prompt="a red car", n=2, size="128x128", extra_body={"seed": 3})
    assert [decoded(data.b64_json).size for data in answer.data or []] == [(128, 128)] * 2
    events = list(client.images.generate(prompt="a red car", stream=True, partial_images=1, extra_body={"seed": 3}))
    assert [event.type for event in events] == ["image_generation.partial_image", "image_generation.completed"]


def test_models_are_listed(service: Running) -> None:
    client = service.client()
    assert [model.id for model in client.models.list()] == ["tiny", "mgie", "moody", "world"]
    assert client.models.retrieve("mgie").object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("none")


def test_errors_are_the_clients_own(service: Running) -> None:
    client = service.client()
    with pytest.raises(openai.BadRequestError, match="'n': input should be less") as bad:
        client.images.edit(image=png(), prompt="a", n=11)
    assert (bad.value.param, bad.value.code, bad.value.type) == ("n", "invalid_value", "invalid_request_error")
    assert bad.value.request_id.startswith("req_")  # type: ignore[union-attr]
    with pytest.raises(openai.NotFoundError, match="There is tiny, mgie, moody") as missing:
        client.images.edit(image=png(), prompt="a", model="sd-9")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError, match="There is world"):
        client.images.generate(prompt="a", model="tiny")
    with pytest.raises(openai.InternalServerError, match="its log says why") as broken:
        client.images.edit(image=png(), prompt="fail", model="moody")
    assert "conftest" not in str(broken.value)
    assert "broke in" in service.log.read_text()
    with pytest.raises(openai.APIStatusError, match="larger than") as large:
        client.images.edit(image=("a.png", b"0" * (70 * 2**20), "image/png"), prompt="a")
    assert large.value.status_code == 413
    rebound = service.client(default_headers={"Host": "rebound.example"})
    with pytest.raises(openai.PermissionDeniedError, match="host name"):
        rebound.models.list()


def test_a_client_tries_again_after_a_failure_and_when_the_queue_is_full(service: Running) -> None:
    answer = service.client(retries=2).images.with_raw_response.edit(image=png(), prompt="fail once", model="moody")
    assert (answer.status_code, answer.retries_taken) == (200, 1)
    busy = threading.Event()

    def occupy() -> None:
        with service.client().images.edit(image=png(), prompt="wait", model="moody", n=8, stream=True) as _:
            busy.wait(20)

    thread = threading.Thread(target=occupy)
    thread.start()
    while service.health()["held"] < 8:
        time.sleep(0.01)
    with pytest.raises(openai.RateLimitError, match="ask again in") as full:
        service.client().images.edit(image=png(), prompt="a")
    assert full.value.code == "rate_limit_exceeded"
    assert int(full.value.response.headers["retry-after"]) >= 1
    threading.Timer(0.3, busy.set).start()  # the stream is closed, which cancels what it waited for
    answer = service.client(retries=5).images.with_raw_response.edit(image=png(), prompt="a")
    assert (answer.status_code, answer.retries_taken >= 1) == (200, True)
    thread.join()


def test_nothing_is_done_for_a_client_that_went_away(service: Running) -> None:
    client = service.client(timeout=0.3)
    with pytest.raises(openai.APITimeoutError):
        client.images.edit(image=png(), prompt="wait", model="moody")
    end = time.monotonic() + 3  # of the four seconds that the edit would take
    while service.health()["held"]:
        assert time.monotonic() < end
        time.sleep(0.01)
    page = httpx.get(f"{service.url}/metrics").text
    assert 'ip2p_requests_total{path="/v1/images/edits",status="499"}' in page


def test_metrics_count_requests_and_batches(service: Running) -> None:
    service.client().images.edit(image=png(), prompt="a", n=4)
    page = httpx.get(f"{service.url}/metrics").text
    for name in ("ip2p_requests_total", "ip2p_queue_held 0.0", 'ip2p_batch_size_bucket{le="4.0",model="tiny"}',
                 "process_resident_memory_bytes"):  # fmt: skip
        assert name in page
    assert "prompt" not in page


def test_keys_are_asked_for_and_never_written() -> None:
    def make():
        return create_app(
            Models({"tiny": EditEngine(tiny_editor())}), WorkQueue(), Keys([KEY, "another-key-of-enough-letters"])
        )

    with serve(make) as running:
        assert running.client(api_key=KEY).models.list().data[0].id == "tiny"
        for wrong in ("sk-0123456789abcdeg", KEY[:-1], "schlüssel-mit-umlaut"):
            with pytest.raises((openai.AuthenticationError, UnicodeEncodeError)) as refused:
                running.client(api_key=wrong).images.edit(image=png(), prompt="a")
            assert wrong not in str(refused.value) or isinstance(refused.value, UnicodeEncodeError)
        answer = httpx.get(f"{running.url}/v1/models", headers={"Authorization": f"Basic {KEY}"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
        assert httpx.get(f"{running.url}/v1/models").json()["error"]["message"].startswith("No API key was given")
        assert running.health()["status"] == "ok"
        with pytest.raises(openai.NotFoundError, match="has no model for this"):
            running.client(api_key=KEY).images.generate(prompt="a")
        assert "sk-" not in running.log.read_text()


def test_what_takes_too_long_is_given_up_and_not_tried_again() -> None:
    def make():
        return create_app(Models({"moody": EditEngine(Moody())}), WorkQueue(), timeout=0.3)

    with serve(make) as running:
        with pytest.raises(openai.InternalServerError, match="Gave up") as late:
            running.client(retries=2).images.edit(image=png(), prompt="wait")
        assert late.value.status_code == 504
        events = httpx.post(
            f"{running.url}/v1/images/edits",
            data={"prompt": "wait", "stream": "true"},
            files={"image": png()},
        ).text
        assert '"code": "timeout"' in events
        with pytest.raises(openai.APIError, match="Gave up"):
            list(running.client().images.edit(image=png(), prompt="wait", stream=True))
        assert running.health()["held"] == 0
