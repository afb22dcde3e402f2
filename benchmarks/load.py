"""Many clients at once on a running service: what they get, whether anything is lost or doubled, and its memory.

    python benchmarks/load.py clients=50 seconds=120 checkpoint=instruct_pix2pix

Starts `ip2p serve` and talks to it with OpenAI's own client, without retries: a full queue (429) is
counted, and its client waits for as long as the answer says. Every tenth request is the same one, whose answer must be
what it was alone, whatever else is in its batch.
"""

from __future__ import annotations

import asyncio
import base64
import io
import random
import re
import subprocess
import sys
import time
from collections import Counter

import httpx
import numpy as np
import openai
from PIL import Image

WORDS = ("make it night", "make it sepia", "make it winter", "make the sky red")


def image(seed: int) -> tuple[str, bytes, str]:
    """A photograph-like image of one of a few sizes, as a PNG."""
    chance = np.random.default_rng(seed)
    size = [(64, 64), (96, 64), (64, 128), (320, 240)][seed % 4]
    coarse = Image.fromarray(chance.integers(0, 255, (6, 6, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    file = io.BytesIO()
    coarse.save(file, "PNG")
    return "image.png", file.getvalue(), "image/png"


def pixels(text: str) -> np.ndarray:
    """The image of base64 as numbers."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"), np.int16)


def metric(url: str, name: str) -> float:
    """The sum of a counter or gauge, as the service counts it."""
    page = httpx.get(f"{url}/metrics").text
    return sum(float(line.split()[-1]) for line in page.splitlines() if re.match(rf"{name}(\{{| )", line))


class Load:
    """Clients, and what they got."""

    def __init__(self, url: str, seconds: float) -> None:
        self.url, self.end = url, time.monotonic() + seconds
        self.client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        self.counts: Counter[str] = Counter()
        self.seeds: Counter[int] = Counter()
        self.waits: list[float] = []
        self.furthest = 0
        self.number = 0
        self.reference = np.zeros(0)

    async def ask(self, number: int, text: str, seed: int) -> openai.types.ImagesResponse:
        return await self.client.images.edit(image=image(number), prompt=text, extra_body={"seed": seed})

    async def one(self, name: int) -> None:
        chance = random.Random(name)
        while time.monotonic() < self.end:
            self.number += 1
            seed, fixed = 1000 + self.number, self.number % 10 == 0
            asked = (0, WORDS[0], 7) if fixed else (chance.randrange(1000), chance.choice(WORDS), seed)
            start = time.monotonic()
            try:
                answer = await self.ask(*asked)
            except openai.RateLimitError as error:
                self.counts["429"] += 1
                await asyncio.sleep(float(error.response.headers["retry-after"]))
                continue
            except openai.APIError as error:
                self.counts[f"{type(error).__name__} {error}"] += 1
                continue
            self.waits.append(time.monotonic() - start)
            (data,) = answer.data or []
            self.counts["done"] += 1
            assert data.seed == asked[2], "an answer to somebody else's request"  # type: ignore[attr-defined]
            if fixed:
                difference = np.abs(pixels(data.b64_json or "") - self.reference).max()
                self.furthest = max(self.furthest, int(difference))
            else:
                self.seeds[seed] += 1

    async def run(self, clients: int) -> list[tuple[float, float]]:
        """All clients; the service's memory in MiB by seconds."""
        alone = await self.ask(0, WORDS[0], 7)
        self.reference = pixels(alone.data[0].b64_json or "")  # type: ignore[index]
        memory: list[tuple[float, float]] = []
        start = time.monotonic()

        async def watch() -> None:
            while True:
                bytes_held = await asyncio.to_thread(metric, self.url, "process_resident_memory_bytes")
                memory.append((time.monotonic() - start, bytes_held / 2**20))
                await asyncio.sleep(2)

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(self.one(name) for name in range(clients)))
        watching.cancel()
        return memory


def main(clients: int = 50, seconds: float = 120, checkpoint: str = "instruct_pix2pix", threads: int = 2) -> None:
    """Run it, and print what came of it."""
    command = [sys.executable, "-m", "ip2p_lightning", "serve", "port=0", "log=false", f"checkpoint={checkpoint}"]
    service = subprocess.Popen([*command, f"threads={threads}", "capacity=32"], stdout=subprocess.PIPE, text=True)
    try:
        assert service.stdout is not None
        line = next(line for line in service.stdout if line.startswith("serving"))
        url = re.search(r"http://[\d.:]+", line)[0]  # type: ignore[index]
        load = Load(url, seconds)
        memory = asyncio.run(load.run(clients))
        made, held = metric(url, "ip2p_images_total"), metric(url, "ip2p_queue_held")
    finally:
        service.terminate()
        code = service.wait(60)
    done = load.counts["done"]
    doubled = sum(count > 1 for count in load.seeds.values())
    print(f"{clients} clients for {seconds:g} s on {checkpoint}: {dict(load.counts)}")
    print(f"images: made by the service {made:.0f}, received by clients {done + 1}, answered twice {doubled}, "
          f"left in the queue {held:.0f}; exit code {code}")  # fmt: skip
    print(f"{60 * done / seconds:.0f} images a minute; waiting time p50 {np.percentile(load.waits, 50):.2f} s, "
          f"p95 {np.percentile(load.waits, 95):.2f} s")  # fmt: skip
    print(f"the same request among others: at most {load.furthest} grey levels from alone")
    third = seconds / 3
    parts = [[mib for at, mib in memory if low <= at < low + third] for low in (0, third, 2 * third)]
    print("memory, MiB, maximum in each third: " + ", ".join(f"{max(part):.0f}" for part in parts if part))


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    main(**{key: type(default)(given[key]) for key, default in
            {"clients": 50, "seconds": 120.0, "checkpoint": "", "threads": 2}.items() if key in given})  # fmt: skip
