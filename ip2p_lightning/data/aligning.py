"""A source whose misaligned pairs are corrected: the edited image is resampled to lie as the original does."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from PIL import Image

from ip2p_lightning.data.alignment import Alignment, aligned
from ip2p_lightning.data.doctor.geometry import BOUNDS, Bounds, geometry
from ip2p_lightning.data.encoded import EncodedPair, decode_pair
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.sources import EncodedSource

RECORD = "alignment"
"""Key of a pair's metadata: what was found, and what was done ("mended", "in place", "unsure", "asked for")."""


class AlignedSource:
    """An `EncodedSource` of another one's pairs. Aligned pairs keep their bytes; corrected images are PNG.

    Args:
        source: the pairs.
        bounds: from when on a displacement is corrected.
    """

    def __init__(self, source: EncodedSource, bounds: Bounds = BOUNDS) -> None:
        self.source, self.bounds = source, bounds
        self.name, self.licence = source.name, source.licence

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> EditPair:
        return decode_pair(self.encoded(index))

    def encoded(self, index: int) -> EncodedPair:
        """Pair ``index``, corrected where that is needed and can be estimated."""
        encoded = self.source.encoded(index)
        pair = decode_pair(encoded)
        original, edited = pair.original_image, pair.edited_image
        assert isinstance(original, Image.Image)
        assert isinstance(edited, Image.Image)
        found = geometry(original, edited, encoded.instruction, self.bounds)
        record = _record(found.alignment)
        if found.kind:
            buffer = io.BytesIO()
            aligned(edited, found.alignment).save(buffer, "PNG")
            encoded, done = replace(encoded, edited_image=buffer.getvalue()), "mended"
        elif found.asked:
            done = "asked for"
        else:
            still = found.alignment.found and found.alignment.displacement < self.bounds.shift
            done = "in place" if still else "unsure"
        return replace(encoded, metadata={**encoded.metadata, RECORD: {"done": done, **record}})

    def fingerprint(self) -> str:
        """That of the source, and the bounds."""
        return f"aligned {self.bounds} {self.source.fingerprint()}"


def done(metadata: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Numbers of pairs of an aligned dataset that were corrected, or left, by reason."""
    return Counter(values.get(RECORD, {}).get("done", "") for values in metadata)


def _record(alignment: Alignment) -> dict[str, Any]:
    if not alignment.found:
        return {"reason": alignment.reason}
    numbers = {"zoom": alignment.zoom, "rotation": alignment.rotation, "stretch": alignment.stretch}
    numbers |= {"right": alignment.shift[0], "down": alignment.shift[1], "error": alignment.error}
    return {name: round(value, 5) for name, value in numbers.items()}
