"""Interface of metrics: one value for each edited image, kept, and one figure for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics.bootstrap import STATISTICS


class EditMetric(Metric, ABC):
    """Base of the metrics: subclasses implement `measure` and state what the figure means.

    Values stay one an image, so that neither the batch size nor the number of processes changes the result, and so
    that intervals and tables by kind can be made from them. An image to which the metric does not apply (no mask, an
    edit that changes nothing) has the value NaN and is left out of the figure.
    """

    full_state_update = False
    is_differentiable = False

    label: ClassVar[str]
    """Name of the metric in tables."""
    unit: ClassVar[str] = ""
    """"/255", "dB", "share" or "" for a plain number."""
    statistic: ClassVar[str] = "mean"
    """Statistic that makes one figure of the values: a name in `bootstrap.STATISTICS`."""
    against_copying: ClassVar[bool] = False
    """True where the value already compares with copying the input, which then needs no column of its own."""
    ceiling: ClassVar[bool] = False
    """True where the true image itself may score less than perfectly, so that its value must stand next to it."""
    counted: ClassVar[str] = ""
    """Name under which provenance counts, by reason, the edits without a value; "" where NaN says all there is."""

    values: list[Tensor] | Tensor
    reasons: Sequence[str] = ()
    """Of a metric with `counted`: why each image of the last `measure` has no value, "" for those that have one."""

    def __init__(self) -> None:
        super().__init__()
        self.add_state("values", default=[], dist_reduce_fx="cat")

    @abstractmethod
    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        """One float value for each image.

        Args:
            images: what the editor made, float32 [B, 3, H, W] in [-1, 1].
            pairs: the pairs it was made from, of the same size.

        Returns:
            [B]; NaN where the metric does not apply.
        """

    def update(self, images: Tensor, pairs: PairBatch) -> None:
        """Measure a batch; arguments as `measure`.

        Raises:
            ValueError: images of another shape than the pairs', or that are not finite, naming the pairs.
        """
        check_pictures(images, pairs)
        with torch.no_grad():
            cast("list[Tensor]", self.values).append(self.measure(images.float(), pairs).float())

    def per_sample(self) -> Tensor:
        """All values [N] in the order of the updates (of this process; of all processes once synchronised)."""
        return dim_zero_cat(self.values) if len(self.values) else torch.zeros(0, device=self.device)

    def provenance(self) -> dict[str, Any]:
        """Settings that determine the values besides the images (weights, preprocessing, settings), as JSON values."""
        return {"metric": type(self).__name__}

    def compute(self) -> Tensor:
        """The figure: mean (or the metric's own statistic) over all images, NaN if there are none."""
        values = self.per_sample()
        weights = torch.ones(1, len(values), dtype=torch.float64)
        figure = STATISTICS[self.statistic](values.double().cpu().numpy(), weights.numpy())
        return torch.tensor(float(figure[0]), device=self.device)


def check_pictures(images: Tensor, pairs: PairBatch) -> None:
    """Refuse edited images that do not fit their pairs or are not finite."""
    if images.shape != pairs.edited_image.shape:
        raise ValueError(
            f"edited images are {tuple(images.shape)}, the pairs' are {tuple(pairs.edited_image.shape)}; "
            "resize the edited images to the true ones before measuring"
        )
    finite = images.isfinite().flatten(1).all(1)
    if not bool(finite.all()):
        bad = [id for id, good in zip(pairs.id, finite.tolist(), strict=True) if not good]
        raise ValueError(f"edited images of pairs {bad} hold NaN or infinite values; the model has diverged")


def mean_error(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference [B] of two batches in [-1, 1], in grey levels (0 to 255)."""
    return (a - b).abs().flatten(1).mean(1) * 127.5
