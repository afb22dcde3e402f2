"""Images a minute of a service at 16 clients, with and without batches across requests, and what people run instead.

    python benchmarks/serving.py [--quick] [--divisor 16]

Three services, each a process behind uvicorn, hold the same random networks in the proportions of Stable Diffusion 1.5:
diffusers' `StableDiffusionInstructPix2PixPipeline` behind FastAPI with a lock; ours with batches of one; ours with
batches of 16. They are asked in turns, so that what else a machine does falls on all of them alike. Then the time of an
edit by the shipped MGIE is split into its networks.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import socket
import statistics
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import wraps

import httpx
import torch
import uvicorn
from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionInstructPix2PixPipeline
from diffusers.utils import logging
from fastapi import FastAPI, File, Form, Response
from interleaved import interleave, machine, report
from PIL import Image
from sampling import seeing
from train_step import SCHEDULE, networks

from ip2p_lightning.conditioners.text import TextConditioner
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.diffusion.guidance import TwoScaleGuidance
from ip2p_lightning.diffusion.objective import DiffusionObjective
from ip2p_lightning.diffusion.sampling import Sampler
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.interop.pipeline import objective_of
from ip2p_lightning.methods.editing_model import EditingModel
from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.denoiser import UNetDenoiser
from ip2p_lightning.serving.api import create_app
from ip2p_lightning.serving.engines import EditEngine
from ip2p_lightning.serving.models import Models
from ip2p_lightning.serving.queue import WorkQueue
from ip2p_lightning.zoo.registry import load

LOCKED, ALONE, BATCHED = "diffusers' pipeline, FastAPI, a lock", "ours, batches of one", "ours, batches of 16"


def pipeline(divisor: int) -> StableDiffusionInstructPix2PixPipeline:
    """Random networks in the proportions of Stable Diffusion 1.5, in diffusers' pipeline."""
    unet, vae, text = networks(divisor)
    scheduler = EulerAncestralDiscreteScheduler(timestep_spacing="linspace", **SCHEDULE)
    made = StableDiffusionInstructPix2PixPipeline(
        vae, text.text_encoder, text.tokenizer, seeing(unet).eval(), scheduler, None, None,
        requires_safety_checker=False,
    )  # fmt: skip
    made.set_progress_bar_config(disable=True)
    return made


def locked(divisor: int, side: int, steps: int) -> FastAPI:
    """Baseline: the pipeline behind a lock."""
    pipe, lock, app = pipeline(divisor), threading.Lock(), FastAPI()

    @app.post("/v1/images/edits")
    def edit(image: bytes = File(), prompt: str = Form(), seed: int = Form()) -> Response:
        photo = Image.open(io.BytesIO(image)).convert("RGB").resize((side, side))
        with lock:
            result = pipe(
                prompt, photo, num_inference_steps=steps, guidance_scale=7.5, image_guidance_scale=1.5,
                generator=torch.Generator().manual_seed(seed),
            ).images[0]  # fmt: skip
        file = io.BytesIO()
        result.save(file, "PNG")
        return Response(file.getvalue())

    return app


def ours(divisor: int, side: int, steps: int, batch_size: int) -> FastAPI:
    """The same networks in ours."""
    pipe = pipeline(divisor)
    objective = objective_of(pipe.scheduler)
    assert isinstance(objective, DiffusionObjective)
    module = EditingModel(
        TextConditioner(pipe.tokenizer, pipe.text_encoder, 77), UNetDenoiser(pipe.unet), Autoencoder(pipe.vae),
        objective, Sampler(pipe.scheduler, steps, TwoScaleGuidance(7.5, 1.5)),
    )  # fmt: skip
    editor = TrainedEditor(module.eval(), resolution=side, batch_size=batch_size, square=True)
    return create_app(Models({"ours": EditEngine(editor)}), WorkQueue(), timeout=600)


@contextmanager
def running(make: Callable[[], FastAPI], threads: int) -> Iterator[str]:
    """A service in a process of its own; gives its address."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"

        def work() -> None:
            torch.set_num_threads(threads)
            warnings.filterwarnings("ignore")
            uvicorn.Server(uvicorn.Config(make(), log_level="error")).run([taken])

        process = multiprocessing.get_context("fork").Process(target=work, daemon=True)
        process.start()
        try:
            yield url
        finally:
            process.kill()
            process.join()


def asked(url: str, clients: int, each: int) -> float:
    """Seconds in which so many clients at once get so many edits each."""
    photo = WorldSource(1, 64)[0].original_image
    file = io.BytesIO()
    photo.save(file, "PNG")  # type: ignore[union-attr]

    def client(name: int) -> None:
        with httpx.Client(timeout=900) as http:
            for number in range(each):
                data = {"prompt": "make it winter", "seed": str(100 * name + number)}
                http.post(f"{url}/v1/images/edits", data=data, files={"image": file.getvalue()}).raise_for_status()

    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    return time.perf_counter() - begun


def split(batch: int, repeats: int) -> dict[str, float]:
    """Median milliseconds of an edit by the shipped MGIE, by network, for a batch of so many."""
    editor = load("mgie")
    module = editor.module
    parts = {
        "language model": module.conditioner.model,
        "edit head": module.conditioner.edit_head,
        "denoiser": module.denoiser,
        "autoencoder": module.autoencoder,
    }
    spent = dict.fromkeys(parts, 0.0)
    depth = {"of": 0}

    def counted(name: str, function: Callable) -> Callable:
        @wraps(function)  # transformers looks at the arguments of `forward`
        def call(*args: object, **options: object) -> object:
            begun, depth["of"] = time.perf_counter(), depth["of"] + 1
            try:
                return function(*args, **options)
            finally:
                depth["of"] -= 1
                spent[name] += (time.perf_counter() - begun) if depth["of"] == 0 else 0.0

        return call

    for name, part in parts.items():
        for method in ("forward", "generate", "encode_original", "decode"):
            if hasattr(part, method):
                setattr(part, method, counted(name, getattr(part, method)))
        if name == "language model":  # whose trunk is called, too
            part.base_model.forward = counted(name, part.base_model.forward)
    photos = [WorldSource(batch, 64)[number].original_image for number in range(batch)]
    rows = []
    for _ in range(repeats + 1):
        spent.update(dict.fromkeys(parts, 0.0))
        begun = time.perf_counter()
        editor.edit(photos, "make it winter")
        whole = time.perf_counter() - begun
        rows.append({**spent, "everything else": whole - sum(spent.values()), "whole": whole})
    return {name: 1000 * statistics.median(row[name] for row in rows[1:]) for name in rows[0]}


def main(quick: bool, divisor: int, threads: int) -> None:
    """Measure, and print."""
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    side, steps, clients, each, repeats = (32, 2, 4, 1, 2) if quick else (64, 20, 16, 1, 3)
    with (
        running(lambda: locked(divisor, side, steps), threads) as theirs,
        running(lambda: ours(divisor, side, steps, 1), threads) as alone,
        running(lambda: ours(divisor, side, steps, clients), threads) as batched,
    ):
        services = {LOCKED: theirs, ALONE: alone, BATCHED: batched}
        for url in services.values():
            asked(url, 1, 1)  # warm
        ways = {name: lambda url=url: asked(url, clients, each) for name, url in services.items()}
        seconds = interleave(ways, repeats)
    for name, times in seconds.items():
        print(f"{name}: {60 * clients * each / statistics.median(times):.1f} images a minute")
    facts = {
        "clients": clients,
        "side": side,
        "steps": steps,
        "divisor": divisor,
        "threads": threads,
        "machine": machine(),
    }
    report(f"{clients * each} edits by {clients} clients", seconds, LOCKED, "seconds", facts)
    torch.set_num_threads(threads)
    for batch in (1, 8):
        print(
            f"MGIE, batch of {batch}, ms:",
            {name: round(ms, 1) for name, ms in split(batch, 2 if quick else 10).items()},
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--divisor", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    main(given.quick, given.divisor, given.threads)
