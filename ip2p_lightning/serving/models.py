"""The models of a service by their names: what edits, and what draws."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from ip2p_lightning.serving.cascade_drawing import CascadeEngine
from ip2p_lightning.serving.drawing import DrawEngine
from ip2p_lightning.serving.engines import EditEngine

T = TypeVar("T")
_OPENAIS = re.compile(r"(gpt-image-[\w.-]+|chatgpt-image-latest|dall-e-\d)")


@dataclass(frozen=True)
class Models:
    """Models of a service.

    Args:
        edits: name -> what edits; the first one is the default.
        draws: name -> what draws; the first one is the default.
        created: when they were opened, in seconds since 1970.
    """

    edits: Mapping[str, EditEngine]
    draws: Mapping[str, DrawEngine | CascadeEngine] = field(default_factory=dict)
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def names(self) -> list[str]:
        """Of all models."""
        return [*self.edits, *self.draws]

    def name_of(self, engine: object) -> str:
        """The name of an engine."""
        return next(name for name, one in {**self.edits, **self.draws}.items() if one is engine)

    def editing(self, name: str | None) -> EditEngine:
        """Editor of a name; the default under none, and under OpenAI's, which programs are full of.

        Raises:
            KeyError: no model of this name edits.
        """
        return _chosen(self.edits, name)

    def drawing(self, name: str | None) -> DrawEngine | CascadeEngine:
        """Text-to-image pipeline of a name; see `editing`.

        Raises:
            KeyError: no model of this name draws.
        """
        return _chosen(self.draws, name)


def _chosen(models: Mapping[str, T], name: str | None) -> T:
    if models and name not in models and (not name or _OPENAIS.fullmatch(name)):
        return next(iter(models.values()))
    return models[name or ""]
