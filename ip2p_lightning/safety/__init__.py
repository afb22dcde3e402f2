"""Refusals: texts that should not become images, and images that should not be shown, in every job alike.

Belongs here: filters of texts and of images, and the guard that applies them and counts.
Does not belong here: where they act (``jobs``, ``generation``), audits of bias (``evaluation``).
"""

from ip2p_lightning.safety.guard import Guard, ImageFilter, TextFilter
from ip2p_lightning.safety.moderation import Moderation
from ip2p_lightning.safety.nsfw import OpenNsfw
from ip2p_lightning.safety.words import UnsafeWords

__all__ = ["Guard", "ImageFilter", "Moderation", "OpenNsfw", "TextFilter", "UnsafeWords"]
