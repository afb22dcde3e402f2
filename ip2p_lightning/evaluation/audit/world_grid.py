"""The embedded world's own grid: captions that leave the colour of a thing open, which training drew evenly."""

from __future__ import annotations

from dataclasses import replace

from ip2p_lightning.evaluation.audit.grid import PromptGrid
from ip2p_lightning.evaluation.prompts.prompt_set import Prompt, PromptSet
from ip2p_lightning.world.levels import SIMPLE
from ip2p_lightning.world.phrases import caption
from ip2p_lightning.world.scene import Scene, Thing

ATTRIBUTE = "left colour"


def world_grid() -> PromptGrid:
    """A prompt for each thing, background and season of the simple level, with a thing on the left without a colour."""
    prompts = []
    for kind in SIMPLE.main:
        for background in SIMPLE.backgrounds:
            for season in SIMPLE.seasons:
                scene = Scene("day", season, "clear", background, (Thing(kind, SIMPLE.colours[0], "left"),))
                text = caption(replace(scene, things=(replace(scene.things[0], colour=""),)))
                prompts.append(Prompt(f"{kind}-{background}-{season}", text, kind))
    shares = dict.fromkeys(SIMPLE.colours, 1 / len(SIMPLE.colours))
    return PromptGrid(PromptSet("world grid", tuple(prompts)), {ATTRIBUTE: shares})
