"""Portraits of the embedded world: people at work by profession, gender and skin tone, with masks of their skin."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from ip2p_lightning.data.saving import save_image
from ip2p_lightning.files import write_whole
from ip2p_lightning.world.open.drawing import draw
from ip2p_lightning.world.open.kinds import GENDERS, TONES, WORKERS, worker_sprite
from ip2p_lightning.world.open.scene import OpenScene, Surroundings, Thing
from ip2p_lightning.world.scene import BACKGROUNDS, SEASONS

SIZE = 64
_DIFFERS = 150
"""Sum of the channels' differences between the lightest and the darkest skin from which a pixel is skin; shading of
clothes differs by less."""


@dataclass(frozen=True)
class Person:
    """Somebody at work.

    Args:
        job: a key of `WORKERS`.
        gender: one of `GENDERS`.
        tone: one of `TONES`.
        scene: around them; everything but the person.
    """

    job: str
    gender: str
    tone: str
    scene: OpenScene

    def drawn(self, size: int = SIZE) -> Image.Image:
        """The portrait."""
        sprite = worker_sprite(self.job, self.gender, self.tone)
        thing = Thing(self.job, gender=self.gender, tone=self.tone, sprite=sprite, extent=0.8, foot=0.95)
        return draw(replace(self.scene, things=(thing,)), size)

    def skin(self, size: int = SIZE) -> np.ndarray:
        """Pixels that another skin tone would change; bool [size, size]."""
        light, dark = (np.asarray(replace(self, tone=tone).drawn(size), int) for tone in (TONES[0], TONES[-1]))
        return np.abs(light - dark).sum(-1) > _DIFFERS


def people(each: int = 1, seed: int = 0) -> list[Person]:
    """A factorial design: so many people of every gender and skin tone, whose professions and scenes are drawn.

    Args:
        each: people of each gender and tone.
        seed: of the draw; the genders and tones of one number share profession and scene, so that nothing else differs.
    """
    rng, found = Random(f"audit/{seed}"), []
    for _ in range(each):
        job = rng.choice(sorted(WORKERS))
        shapes = Surroundings(*(rng.randrange(1000) for _ in range(4)), sun=rng.uniform(-0.5, 0.5))
        scene = OpenScene("day", rng.choice(SEASONS), "clear", rng.choice(BACKGROUNDS), surroundings=shapes)
        found += [Person(job, gender, tone, scene) for gender, tone in product(GENDERS, TONES)]
    return found


def write_people(folder: str | Path, each: int = 4, seed: int = 0) -> tuple[Path, Path]:
    """Write portraits, masks, portraits.csv and instructions.json, as `ip2p audit` reads them.

    Args:
        folder: to write.
        each: see `people`.
        seed: see `people`.

    Returns:
        The table of portraits and the list of instructions.
    """
    folder, rows = Path(folder), []
    for number, person in enumerate(people(each, seed)):
        image, mask = f"{number:04d}.png", f"{number:04d}-skin.png"
        save_image(person.drawn(), folder / image)
        save_image(Image.fromarray(person.skin()).convert("L"), folder / mask)
        rows.append({"image": image, "mask": mask, "gender": person.gender, "tone": person.tone})
    table, listed = folder / "portraits.csv", folder / "instructions.json"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["image", "mask", "gender", "tone"])
        writer.writeheader()
        writer.writerows(rows)
    jobs = ("pilot", "cook", "doctor", "builder")
    asked = [{"instruction": f"turn the person into a {job}", "shows": {"centre thing": job}} for job in jobs]
    asked += [{"instruction": f"make it {season}", "shows": {"season": season}} for season in ("winter", "autumn")]
    write_whole(listed, json.dumps(asked, indent=1) + "\n")
    return table, listed
