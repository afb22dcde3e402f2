"""The README.md that goes with an exported folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import diffusers
import transformers
from diffusers import DiffusionPipeline
from torch import nn

from ip2p_lightning import __version__
from ip2p_lightning.diffusion.sampling import Sampler
from ip2p_lightning.untrusted import printable

_CARD = """\
---
library_name: diffusers
pipeline_tag: image-to-image
tags: [instruction-based-image-editing, ip2p-lightning]
---

# Image editing by instruction

A `{name}` exported by ip2p-lightning {version}.

```python
{imports}
from PIL import Image

pipeline = {name}.from_pretrained("path/of/this/folder")
output = pipeline("make it winter", Image.open("photo.jpg"), num_inference_steps={steps},
                  guidance_scale={text_scale}, image_guidance_scale={image_scale})
output.images[0].save("edited.png")
```

`guidance_scale` is how strongly the instruction acts, `image_guidance_scale` how strongly the original is kept; the
values above are the model's own defaults.{size}

Written with diffusers {diffusers} and transformers {transformers}; older releases may not know these classes.

| part | class | parameters |
|---|---|---|
{parts}

"""
_UNKNOWN = """\
What the model can and cannot do, and under which licence it may be used, depends on the pairs it was trained on and
on the pretrained parts it began from: describe them here before you share it.
"""


@dataclass(frozen=True)
class CardFacts:
    """Facts that a card states of a model besides the parts in its folder.

    Args:
        licence: of the model, by the hub's identifier (apache-2.0, openrail, other ...); None if not stated.
        licences: data set or pretrained part -> its licence.
        provenance: what made the model: name -> value.
        limits: sentences.
        measured_on: what the figures were taken on; "" without figures.
        figures: rows of metric, value with interval, value of copying the input, and number of edits.
        gallery: name of an image in the folder -> caption.
    """

    licence: str | None = None
    licences: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    limits: Sequence[str] = ()
    measured_on: str = ""
    figures: Sequence[tuple[str, str, str, str]] = ()
    gallery: Mapping[str, str] = field(default_factory=dict)


def with_facts(card: str, facts: CardFacts) -> str:
    """A card that describes the model: figures, gallery, limits, licences, provenance.

    Args:
        card: of an exported folder; "" where it has none.
        facts: what to say; texts of files are escaped.
    """
    head, _, body = card.removeprefix("---\n").partition("---\n") if card.startswith("---\n") else ("", "", card)
    head += f"license: {facts.licence}\n" if facts.licence else ""
    body = body.removesuffix(_UNKNOWN).strip() or "# Image editing by instruction"
    licences = {"this model": facts.licence or "not stated: ask its author before using it", **facts.licences}
    parts = [
        f"---\n{head}---",
        body,
        "## Figures",
        *(
            [f"On {_cell(facts.measured_on)}, with 95 % bootstrap intervals.",
             _table(("metric", "value", "copying the input", "edits"), facts.figures)]
            if facts.figures else ["No evaluation came with this model."]
        ),
        *(["## Gallery"] if facts.gallery else []),
        *(f"![{_cell(caption)}]({name})\n\n{_cell(caption)}" for name, caption in facts.gallery.items()),
        "## Limits",
        "\n".join(f"- {_cell(limit)}" for limit in facts.limits) or "Not described.",
        "## Licences",
        _table(("of", "licence"), list(licences.items())),
        "## Provenance",
        _table(("", ""), list(facts.provenance.items())) if facts.provenance else "Not recorded.",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    """Words of others as one line of Markdown that shows them as they are."""
    return "".join(f"\\{sign}" if sign in "\\`*[]<>|" else sign for sign in printable(" ".join(text.split())))


def model_card(pipeline: DiffusionPipeline, sampler: Sampler) -> str:
    """Markdown with a metadata block: how to load the folder, and what is in it.

    Args:
        pipeline: what was exported.
        sampler: whose settings are shown.
    """
    name = type(pipeline).__name__
    library = "diffusers" if type(pipeline).__module__.startswith("diffusers.") else "ip2p_lightning.interop"
    rows = [
        f"| `{part}` | `{type(component).__name__}` | {_size(component)} |"
        for part, component in pipeline.components.items()
        if component is not None
    ]
    card = _CARD.format(
        name=name,
        version=__version__,
        diffusers=diffusers.__version__,
        transformers=transformers.__version__,
        size=_trained_size(pipeline),
        imports=f"from {library} import {name}",
        steps=sampler.steps,
        text_scale=sampler.guidance.text_scale,
        image_scale=sampler.guidance.image_scale,
        parts="\n".join(rows),
    )
    return card + _UNKNOWN


def _trained_size(pipeline: DiffusionPipeline) -> str:
    """A sentence on the size of the images that the denoiser was built for; empty if it does not say."""
    parts = pipeline.components
    denoiser = parts.get("unet") or parts.get("transformer")
    side, vae = getattr(getattr(denoiser, "config", None), "sample_size", None), parts.get("vae")
    if not isinstance(side, int) or vae is None:
        return ""
    side *= getattr(pipeline, "vae_scale_factor", 1)
    return f" The denoiser was built for images of {side} x {side} pixels."


def _size(component: object) -> str:
    return f"{sum(p.numel() for p in component.parameters()):,}" if isinstance(component, nn.Module) else ""
