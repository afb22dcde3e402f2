"""Work that can be resumed, on disk: parts that appear whole, claims on them, and the settings that they depend on.

The content of a part is the concern of the code that writes it. Nothing here knows images, models or datasets.
"""

from ip2p_lightning.store.claims import Claim, Claims
from ip2p_lightning.store.parts import PartStore, digest
from ip2p_lightning.store.settings import ABSENT, differences, keep_settings

__all__ = ["ABSENT", "Claim", "Claims", "PartStore", "differences", "digest", "keep_settings"]
