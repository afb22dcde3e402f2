"""Make the open level's file of sprites from the npm package that it comes from.

Usage: ``npm pack @lobehub/fluent-emoji-3d@1.1.0`` and ``python -m ip2p_lightning.world.open.make_sprites TARBALL``.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import zipfile
from pathlib import Path

from PIL import Image

from ip2p_lightning.files import write_whole
from ip2p_lightning.world.open.kinds import all_sprites
from ip2p_lightning.world.open.sprites import FILE, SIDE, pixel_digest

TARBALL_SHA512 = (
    "5a5ab69554ad4e7afc043a48274a449d328ee0bb83c71a931214ef46d0f50cb4"
    "45d267bba207914232a87a10c75ee549d9069e720979c1106feb4954006de1ee"
)
QUALITY = 88
_LARGEST = 200_000  # bytes of one image; the package's have at most a fifth of that


def make(tarball: Path) -> bytes:
    """The bytes of the file of sprites: a zip of WebP images of `SIDE` pixels, named by code point.

    Raises:
        ValueError: another tarball than the one that the shipped file was made of, or one without a sprite.
    """
    packed = tarball.read_bytes()
    if hashlib.sha512(packed).hexdigest() != TARBALL_SHA512:
        raise ValueError(
            f"{tarball} is not @lobehub/fluent-emoji-3d 1.1.0: its SHA-512 differs; fetch it with npm pack"
        )
    target = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as source,
        zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as sprites,
    ):
        for name in all_sprites():
            try:
                member = source.extractfile(f"package/assets/{name}.webp")
            except KeyError as missing:
                raise ValueError(f"{tarball} holds no sprite {name}") from missing
            assert member is not None
            image = Image.open(io.BytesIO(member.read(_LARGEST)), formats=["WEBP"]).convert("RGBA")
            reduced = io.BytesIO()
            image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(reduced, "WEBP", quality=QUALITY, method=6)
            sprites.writestr(zipfile.ZipInfo(f"{name}.webp"), reduced.getvalue())
    return target.getvalue()


def main(arguments: list[str]) -> None:
    """Write the shipped file and print what it is checked by."""
    data = make(Path(arguments[0]))
    write_whole(FILE, data)
    print(f"{FILE}: {len(data):,} bytes, pixels {pixel_digest()}")


if __name__ == "__main__":
    main(sys.argv[1:])
