"""The shipped sprites: complete, as they were made, and repainted only where they should be."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from ip2p_lightning.world.open import make_sprites, sprites
from ip2p_lightning.world.open.distribution import sample
from ip2p_lightning.world.open.drawing import draw
from ip2p_lightning.world.open.kinds import GENDERS, HAIR, KINDS, PAINTED, TONES, WORKERS, all_sprites
from ip2p_lightning.world.open.kinds import person_sprite as person
from ip2p_lightning.world.open.kinds import worker_sprite as worker
from ip2p_lightning.world.palette import PAINTS

PIXELS = "4b0a0b6adec99fa3b4065e555dfdee172530a2f44497794c2491f1d2a485dcbf"


def test_the_file_holds_all_sprites_and_nothing_else() -> None:
    assert sorted(sprites._archive()) == all_sprites()
    assert sprites.FILE.stat().st_size < 3_000_000


def test_pixels_are_those_that_the_script_made() -> None:
    assert sprites.pixel_digest() == PIXELS


def test_licence_and_notice_come_with_it() -> None:
    licence, notice = ((sprites.FILE.parent / name).read_text() for name in ("LICENSE", "NOTICE.md"))
    assert "MIT License" in licence
    assert "Microsoft" in licence
    assert "@lobehub/fluent-emoji-3d" in notice


def test_another_tarball_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tgz").write_bytes(b"something else")
    with pytest.raises(ValueError, match="SHA-512 differs"):
        make_sprites.make(tmp_path / "x.tgz")


def test_people_differ_by_profession_gender_and_tone() -> None:
    names = [worker(name, gender, tone) for name in WORKERS for gender in GENDERS for tone in TONES]
    names += [person(hair, gender, tone) for hair in HAIR for gender in GENDERS for tone in TONES]
    assert len({sprites.cut_out(name).tobytes() for name in names}) == len(names)
    assert len({sprites.cut_out(name).size for name in names}) == 1


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.paints and kind.variants])
def test_painted_things_have_their_paint(kind: str) -> None:
    for name in KINDS[kind].variants:
        own = np.asarray(sprites.cut_out(name), int)
        for colour in PAINTED:
            image = np.asarray(sprites.painted(name, colour, 0, False), int)
            assert np.array_equal(image[..., 3], own[..., 3])
            changed = (np.abs(image - own).sum(axis=2) > 30) & (own[..., 3] > 200)
            if changed.mean() > 0.05:  # not already of that colour
                near = np.abs(np.median(image[changed][:, :3], axis=0) - np.array(PAINTS[colour])).mean()
                assert near < 30, (kind, colour)


def test_windows_glow_where_there_are_some() -> None:
    assert sprites.has_windows("1f3e0")
    assert not sprites.has_windows("1f6d6")


def test_nothing_below_16_pixels() -> None:

    with pytest.raises(ValueError, match="16 or more"):
        draw(sample(Random(0)), 8)
