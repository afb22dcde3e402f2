"""Metrics of edits: torchmetrics subclasses that keep one value an image, and intervals over those values.

A new metric is one file with an `EditMetric`. Running editors, tables and pages belong in `evaluation`.

    >>> from ip2p_lightning import metrics
    >>> from ip2p_lightning.data.pair import PairBatch
    >>> from ip2p_lightning.data.sources.world import WorldSource
    >>> from ip2p_lightning.data.transforms import PairTransform
    >>> pairs = PairBatch.collate([PairTransform(16)(pair) for pair in (WorldSource(2, size=16)[i] for i in range(2))])
    >>> metrics.L1(peak=255).measure(pairs.edited_image, pairs)
    tensor([0., 0.])
"""

from ip2p_lightning.metrics.attributes import AttributeSuccess
from ip2p_lightning.metrics.base import EditMetric
from ip2p_lightning.metrics.bootstrap import Interval, bootstrap_interval
from ip2p_lightning.metrics.copying import CloserThanInput, CopyRate, ErrorHalved, RelativeError
from ip2p_lightning.metrics.in_region import InRegion
from ip2p_lightning.metrics.pixels import L1, L2
from ip2p_lightning.metrics.regions import ChangedRegionError, KeptRegionError
from ip2p_lightning.metrics.sets import metric_set
from ip2p_lightning.metrics.similarity import (
    CaptionSimilarity,
    DirectionSimilarity,
    ImageSimilarity,
    InputSimilarity,
)
from ip2p_lightning.metrics.structure import PSNR, SSIM

__all__ = [
    "L1",
    "L2",
    "PSNR",
    "SSIM",
    "AttributeSuccess",
    "CaptionSimilarity",
    "ChangedRegionError",
    "CloserThanInput",
    "CopyRate",
    "DirectionSimilarity",
    "EditMetric",
    "ErrorHalved",
    "ImageSimilarity",
    "InRegion",
    "InputSimilarity",
    "Interval",
    "KeptRegionError",
    "RelativeError",
    "bootstrap_interval",
    "metric_set",
]
