"""The README.md that goes with an exported folder."""

from __future__ import annotations

from diffusers import DiffusionPipeline
from torch import nn

from ip2p_lightning import __version__
from ip2p_lightning.diffusion.sampling import Sampler

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
values above are the model's own defaults.

| part | class | parameters |
|---|---|---|
{parts}

What the model can and cannot do, and under which licence it may be used, depends on the pairs it was trained on and
on the pretrained parts it began from: describe them here before you share it.
"""


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
    return _CARD.format(
        name=name,
        version=__version__,
        imports=f"from {library} import {name}",
        steps=sampler.steps,
        text_scale=sampler.guidance.text_scale,
        image_scale=sampler.guidance.image_scale,
        parts="\n".join(rows),
    )


def _size(component: object) -> str:
    return f"{sum(p.numel() for p in component.parameters()):,}" if isinstance(component, nn.Module) else ""
