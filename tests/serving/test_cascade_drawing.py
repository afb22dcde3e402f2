"""A cascade behind the queue, the service and the page: equal to the cascade itself, alone or among others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import openai
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from ip2p_lightning.data.images import to_pil
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.diffusion.stage_sampling import StageSettings
from ip2p_lightning.editors.copy_input import CopyInput
from ip2p_lightning.interop.cascade import Cascade
from ip2p_lightning.serving.api import create_app
from ip2p_lightning.serving.app.session import Session, Studio
from ip2p_lightning.serving.cascade_drawing import CascadeEngine
from ip2p_lightning.serving.drawing import DrawRequest, within
from ip2p_lightning.serving.engines import EditEngine
from ip2p_lightning.serving.models import Models
from ip2p_lightning.serving.queue import WorkQueue
from tests.interop.test_cascade import stage
from tests.serving.conftest import decoded


@pytest.fixture(scope="module")
def engine() -> CascadeEngine:
    """8 pixels, then 16."""
    return CascadeEngine(Cascade({name: stage(name) for name in ("base", "sr256")}), batch_size=4)


@pytest.fixture(scope="module")
def client(engine: CascadeEngine) -> Iterator[openai.OpenAI]:
    models = Models({"copy": EditEngine(CopyInput())}, {"imagen": engine})
    with TestClient(create_app(models, WorkQueue(capacity=8)), base_url="http://127.0.0.1") as http:
        yield openai.OpenAI(base_url="http://127.0.0.1/v1", api_key="none", max_retries=0, http_client=http)


def own(engine: CascadeEngine, prompt: str, seed: int, settings: StageSettings | None = None) -> Image.Image:
    given = None if settings is None else dict.fromkeys(engine.cascade.stages, settings)
    return to_pil(engine.cascade([prompt], [seed], given)["sr256"][0])


def alike(one: Image.Image, other: Image.Image) -> bool:
    """Equal up to one grey level."""
    return bool(np.abs(np.asarray(one, np.int16) - np.asarray(other.convert("RGB"), np.int16)).max() <= 1)


def test_an_image_is_the_cascades_own_whoever_shares_its_batch(engine: CascadeEngine, queue: WorkQueue) -> None:
    requests = [DrawRequest(f"a {colour} car", seed=seed) for seed, colour in enumerate(("red", "blue", "green"))]
    requests.append(DrawRequest("a bus", size=(200, 100), sampling=SamplingSettings(steps=2, text_scale=2.0)))
    sizes: list[int] = []
    queue.on_batch = lambda batch: sizes.append(batch.size)
    results = [one.result(60).image for one in queue.submit(engine, requests)]
    assert sizes == [3, 1], "other steps or scales are another batch"
    assert all(
        alike(own(engine, one.prompt, one.seed), image) for one, image in zip(requests[:3], results[:3], strict=True)
    )
    assert not alike(results[0], results[1])
    assert results[3].size == (100, 100)
    assert alike(within(own(engine, "a bus", 0, StageSettings(steps=2, guidance=2.0)), (200, 100)), results[3])


def test_the_steps_of_all_stages_are_counted_together(engine: CascadeEngine, queue: WorkQueue) -> None:
    seen: list[tuple[int, int]] = []
    request = DrawRequest("a bus", sampling=SamplingSettings(steps=3))
    (pending,) = queue.submit(engine, [request], on_step=lambda progress: seen.append((progress.number, progress.of)))
    pending.result(60)
    assert seen == [(number, 6) for number in range(1, 7)]


def test_the_service_draws_with_it(engine: CascadeEngine, client: openai.OpenAI) -> None:
    assert "imagen" in [model.id for model in client.models.list()]
    answer = client.images.generate(prompt="a red car", model="imagen", n=2, extra_body={"seed": 3})
    images = [decoded(data.b64_json) for data in answer.data or []]
    assert [image.size for image in images] == [(16, 16)] * 2
    assert all(alike(own(engine, "a red car", seed), image) for seed, image in zip((3, 4), images, strict=True))
    events = client.images.generate(prompt="a red car", stream=True, partial_images=2, extra_body={"seed": 3})
    last = list(events)[-1]
    assert last.type == "image_generation.completed"
    assert alike(images[0].convert("RGB"), decoded(last.b64_json))


def test_the_page_draws_with_it(engine: CascadeEngine, queue: WorkQueue) -> None:
    handlers = pytest.importorskip(
        "ip2p_lightning.serving.app.handlers", reason="the extra `app` is not installed", exc_type=ImportError
    )

    session = Session(Studio(EditEngine(CopyInput()), queue, "copy", draws=engine))
    *under_way, (image, _, status) = handlers.imagine(session, "a red car", 3)
    assert under_way
    assert status.startswith("Done")
    assert alike(own(engine, "a red car", 3).resize((512, 512), Image.Resampling.LANCZOS), image)
    *_, (_, _, status) = handlers.imagine(session, " ", 0)
    assert "prompt is empty" in status
