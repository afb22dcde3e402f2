"""The folder `images` that listings next to it name: what exports of such formats share."""

from __future__ import annotations

from pathlib import Path

from ip2p_lightning.data.encoded import EncodedPair, picture_formats
from ip2p_lightning.data.formats.columns import PICTURES


class ImagesFolder:
    """Writes the images of pairs into `images`, numbered.

    Args:
        folder: that of the listing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        (folder / "images").mkdir()

    def add(self, pair: EncodedPair) -> dict[str, str]:
        """Write the images of a pair; field -> path relative to the listing."""
        _, _, endings = picture_formats(pair)
        names = {}
        for member, data in pair.pictures().items():
            name = f"images/{self.count:08d}.{member}.{endings[member]}"
            (self.folder / name).write_bytes(data)
            names[next(field for field in PICTURES if field.startswith(member))] = name
        self.count += 1
        return names
