"""Images to begin with: scenes that the embedded world draws, made when the page is."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from ip2p_lightning.data.saving import save_image
from ip2p_lightning.world.drawing import draw
from ip2p_lightning.world.reading import scene_of_words

SCENES = (
    "a red castle by the sea on a clear summer day",
    "a yellow tent on the left and a blue balloon in the sky on a clear spring day before hills",
    "a green house and a small tree on the right in a city at sunset",
)
SIDE = 256


def example_files() -> list[list[str]]:
    """Files of the scenes, each in a row of its own."""
    mark = hashlib.sha256(repr((SCENES, SIDE)).encode()).hexdigest()[:8]
    folder = Path(os.environ.get("GRADIO_TEMP_DIR", tempfile.gettempdir())) / f"examples-{mark}"
    found = []
    for number, words in enumerate(SCENES, 1):
        found.append([str(save_image(draw(scene_of_words(words), SIDE), folder / f"scene-{number}.png"))])
    return found
