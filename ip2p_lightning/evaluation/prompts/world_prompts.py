"""Prompts of the embedded world: captions of scenes that training did not show, with exact answers."""

from __future__ import annotations

from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.evaluation.prompts.prompt_set import Atom, Prompt, PromptSet
from ip2p_lightning.world.attributes import describe
from ip2p_lightning.world.levels import has_held_out
from ip2p_lightning.world.phrases import PLACE
from ip2p_lightning.world.scene import SLOTS

_BACKDROP = {
    "time": "What time of day is it?",
    "season": "Which season is it?",
    "weather": "What is the weather like?",
    "background": "What is in the background?",
    "lights": "Are the lights in the windows on or off?",
}
_PARTS = {
    "thing": "What stands {place}?",
    "colour": "What colour is the thing {place}?",
    "size": "How large is the thing {place}?",
    "part": "What colour is the roof, sail or stripe of the thing {place}?",
    "sky thing": "What is in the sky {place}?",
    "sky colour": "What colour is the thing in the sky {place}?",
    "sky part": "What colour is the second part of the thing in the sky {place}?",
}


def world_prompts(count: int = 100, level: str = "simple", seed: int = 0) -> PromptSet:
    """So many prompts of each of two categories, "new scenes" and "held-out combinations".

    Args:
        count: prompts of each category.
        level: of the world; the text-to-image model of the zoo knows "simple".
        seed: another seed gives other prompts.
    """
    prompts = []
    for category, split in (("new scenes", "validation"), ("held-out combinations", "test")):
        source, number = WorldSource(100 * count, 16, level, seed, split=split), 0
        texts: set[str] = set()
        for index in range(len(source)):
            change = source.change(index)[1]
            if change.original_caption in texts or has_held_out(change.before) != (split == "test"):
                continue
            texts.add(change.original_caption)
            atoms = [Atom(question(name), value, name) for name, value in describe(change)[0].items() if name != "look"]
            prompts.append(Prompt(f"{split}-{number:04d}", change.original_caption, category, tuple(atoms)))
            number += 1
            if number == count:
                break
    return PromptSet(f"world, {level} level", tuple(prompts))


def question(attribute: str) -> str:
    """Question to a vision-language model about an attribute of `world.attributes.ATTRIBUTES`.

    >>> question("left sky colour")
    'What colour is the thing in the sky on the left?'
    """
    slot, _, part = attribute.partition(" ")
    if slot in SLOTS:
        return _PARTS[part].format(place=PLACE[slot])
    return _BACKDROP[attribute]
