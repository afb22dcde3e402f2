"""The crops and flips of a pair that a cache holds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.transforms import PairTransform, View


@dataclass(frozen=True)
class Views:
    """A finite number of looks at a pair, and which of them an epoch takes.

    Without random crops these are the pair as it is and flipped, so that every epoch sees what it would see without a
    cache. With random crops they are those of the first `crops` epochs, over and over.

    Args:
        transform: of the training pairs.
        crops: how many random crops (with their flips) to hold of a pair; None where there are none.

    Raises:
        ValueError: random crops without a number of them, or a number below 1.
    """

    transform: PairTransform
    crops: int | None = None

    def __post_init__(self) -> None:
        if type(self.transform) is not PairTransform:
            raise ValueError(
                f"the cache knows the views of PairTransform, not those of {type(self.transform).__name__}; train with "
                "cache=null"
            )
        if self.transform.crops and self.crops is None:
            raise ValueError(
                f"crops are random (data.transform.min_size={self.transform.min_size}, "
                f"max_size={self.transform.max_size}), and a cache cannot hold all of them: set cache.crops=8 to train "
                "on eight crops of each pair, data.transform.min_size=null and max_size=null for none, or cache=null"
            )
        if self.crops is not None and self.crops < 1:
            raise ValueError(f"cache.crops={self.crops} must be at least 1")

    @property
    def count(self) -> int:
        """Views of each pair."""
        if self.transform.crops:
            return self.crops or 1
        return 2 if self.transform.flip else 1

    def index(self, pair: EditPair, epoch: int) -> int:
        """View that an epoch takes; does not read the pair's images."""
        return epoch % self.count if self.transform.crops else int(self.transform.view(pair, epoch).flip)

    def distinct(self, pair: EditPair) -> list[int]:
        """The views that may be asked for."""
        return list(range(self.count)) if self.transform.crops or self.transform.flips(pair) else [0]

    def see(self, pair: EditPair, index: int) -> EditPair:
        """The pair in one of its views, as tensors."""
        if self.transform.crops:
            return self.transform(pair, epoch=index)
        return self.transform.apply(pair, View(self.transform.resolution, (0, 0), flip=bool(index)))

    def address(self) -> dict[str, Any]:
        """Settings that determine the images of the views; how often each is taken does not matter."""
        options = asdict(self.transform)
        if self.transform.crops:
            return {**options, "crops": self.crops}
        return {name: options[name] for name in ("resolution", "fit", "flip_sided")} | {"views": self.count}
