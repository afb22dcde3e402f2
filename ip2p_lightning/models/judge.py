"""A judge: a small network that reads from an image what it shows, attribute by attribute.

It scores edits where the truth is known as attributes (the embedded world). Its own accuracy on true images is the
ceiling of what it can find in edited ones, and must be stated next to each of its figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from ip2p_lightning.world.attributes import ATTRIBUTES, NOTHING
from ip2p_lightning.world.open.attributes import ATTRIBUTES as OPEN_ATTRIBUTES

ABSENT = -1
"""Label of an attribute that an image does not show."""


class AttributeJudge(ModelMixin, ConfigMixin):
    """A residual network whose last grid keeps its places, with one softmax for each attribute.

    Args:
        attributes: name -> values, or pairs of both; "open" for those of the world's open level, None for those of its
            other levels. Answers keep this order.
        size: side in pixels at which images are looked at, a multiple of 16; others are resized.
        widths: channels at 1/2, 1/4 and 1/8 of the size, multiples of 8.
        hidden: width of the layer before the answers.

    Raises:
        ValueError: a size that is no multiple of 16.
    """

    @register_to_config
    def __init__(
        self,
        attributes: Mapping[str, Sequence[str]] | Sequence[tuple[str, Sequence[str]]] | Literal["open"] | None = None,
        size: int = 64,
        widths: Sequence[int] = (32, 64, 112),
        hidden: int = 224,
    ) -> None:
        super().__init__()
        if size % 16 or size < 16:
            raise ValueError(f"size={size}: the judge halves images four times; choose a multiple of 16")
        known = OPEN_ATTRIBUTES if attributes == "open" else attributes or ATTRIBUTES
        chosen = {name: list(values) for name, values in dict(known).items()}
        self.register_to_config(attributes=list(chosen.items()))  # config.json sorts the keys of mappings
        self.attributes = chosen
        self.size = size
        first, middle, last = widths
        self.features = nn.Sequential(
            nn.Conv2d(3, first, 4, stride=2, padding=1),
            _Block(first, first),
            _Block(first, middle, stride=2),
            _Block(middle, middle),
            _Block(middle, last, stride=2),
            _Block(last, last),
            nn.GroupNorm(8, last),
            nn.SiLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(last, last // 2, 1),
            nn.Flatten(),
        )
        self.answers = nn.Sequential(
            nn.Linear(last // 2 * (size // 16) ** 2, hidden),
            nn.SiLU(),
            nn.Linear(hidden, sum(map(len, chosen.values()))),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1] to logits [B, number of all values], attribute after attribute."""
        if images.shape[-2:] != (self.size, self.size):
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)
        return self.answers(self.features(images))

    def split(self, logits: Tensor) -> dict[str, Tensor]:
        """Logits [B, all values] by attribute: name -> [B, its values]."""
        sizes = [len(values) for values in self.attributes.values()]
        return dict(zip(self.attributes, logits.split(sizes, dim=1), strict=True))

    def labels(self, descriptions: Sequence[Mapping[str, str]]) -> Tensor:
        """Descriptions to labels [B, attributes]; `ABSENT` where one says nothing of an attribute.

        Raises:
            ValueError: a value that the attribute does not take.
        """
        rows = []
        for description in descriptions:
            try:
                row = [
                    values.index(description[name]) if name in description else ABSENT
                    for name, values in self.attributes.items()
                ]
            except ValueError as error:
                raise ValueError(f"the judge does not know a value ({error}) of {dict(description)}") from error
            rows.append(row)
        return torch.tensor(rows, dtype=torch.long).reshape(len(rows), len(self.attributes))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy, averaged over all labels [B, attributes] that are not `ABSENT`; a scalar in float32."""
        total = logits.new_zeros((), dtype=torch.float32)
        for answers, truth in zip(self.split(logits.float()).values(), labels.unbind(1), strict=True):
            total = total + F.cross_entropy(answers, truth, ignore_index=ABSENT, reduction="sum")
        return total / (labels != ABSENT).sum().clamp(min=1)

    @torch.no_grad()
    def read(self, images: Tensor) -> list[dict[str, str]]:
        """Attributes of images [B, 3, H, W] in [-1, 1], without the look of absent things."""
        parameter = next(self.parameters())
        answers = self.split(self(images.to(parameter.device, parameter.dtype)))
        chosen = {name: logits.argmax(1).tolist() for name, logits in answers.items()}
        rows = [
            {name: self.attributes[name][indices[row]] for name, indices in chosen.items()}
            for row in range(len(images))
        ]
        return [_consistent(row) for row in rows]


class _Block(nn.Module):
    """Two normalised 3 x 3 convolutions next to a shortcut."""

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels), nn.GroupNorm(8, out)
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1)
        same = stride == 1 and channels == out
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels, out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(F.silu(self.norm1(x)))
        return self.shortcut(x) + self.conv2(F.silu(self.norm2(inner)))


def _consistent(reading: dict[str, str]) -> dict[str, str]:
    """The reading without colours, sizes and parts of things that are not there."""
    absent = {name.removesuffix(" thing") for name, value in reading.items() if value == NOTHING}
    return {name: value for name, value in reading.items() if value == NOTHING or name.rpartition(" ")[0] not in absent}
