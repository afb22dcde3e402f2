"""Networks that metrics compare images by, and how images are prepared for them.

What is made of the features belongs one level up; networks that learn belong in `models`.
"""

from ip2p_lightning.metrics.encoders.base import Encoder, TextEncoder
from ip2p_lightning.metrics.encoders.clip import OpenClipEncoder
from ip2p_lightning.metrics.encoders.dino import TimmEncoder, TransformersEncoder
from ip2p_lightning.metrics.encoders.judge import JudgeReader
from ip2p_lightning.metrics.encoders.preparation import Interpolated, Photographed

__all__ = [
    "Encoder",
    "Interpolated",
    "JudgeReader",
    "OpenClipEncoder",
    "Photographed",
    "TextEncoder",
    "TimmEncoder",
    "TransformersEncoder",
]
