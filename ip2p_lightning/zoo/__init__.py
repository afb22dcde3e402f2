"""The trained models that lie in the package: where each is, how it is opened, made, measured and described.

Belongs here: one file a model with `pack`, `load` and `measure`, the registry, and their cards. Does not belong here:
networks (`models`), training (`methods`), or weights of the hub.
"""

from ip2p_lightning.shipped import path
from ip2p_lightning.zoo.registry import Entry, entry, load

__all__ = ["Entry", "entry", "load", "path"]
