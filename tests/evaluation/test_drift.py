"""Drift: what should not change is measured where it changes, and by the part that changes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from factories import IP2P, WORLD, seeing, tiny_module

from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.copy_input import CopyInput
from ip2p_lightning.editors.request import EditRequest, EditResult
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.evaluation.bands import EDGES, band_errors, band_gains, band_powers
from ip2p_lightning.evaluation.drift import Chain, Drift, drift
from ip2p_lightning.evaluation.figures import IntervalSettings
from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.patch_pca import PatchPCA
from ip2p_lightning.report.drift_figure import drift_figure

pytestmark = pytest.mark.numeric

PAIRS = WorldSource(4, 16)
NOTHING = Chain("nothing", ("leave it",), from_start=True)
BACK = Chain("back", ("make it winter", "make it summer"))
SAME = Chain("same", ("{instruction}",))
PLAIN = SamplingSettings(steps=2, text_scale=1.0, image_scale=1.0)
FEW = IntervalSettings(resamples=50)


class Brighter(Editor):
    """Makes pictures brighter in winter and darker in summer, a little less so each time."""

    def edit_prepared(self, requests: Sequence[EditRequest], on_step: Any = None) -> list[EditResult]:
        amount = 0.2 if "winter" in requests[0].instruction else -0.15
        return [EditResult((request.image * 0.5 + amount).clamp(-1, 1), request) for request in requests]


def means(result: Drift, chain: str, through: str, name: str = "error") -> list[float]:
    rows = result.by_turn().to_pylist()
    return [row[name] for row in rows if row["chain"] == chain and row["through"] == through]


def test_an_editor_that_changes_nothing_does_not_drift() -> None:
    result = drift(CopyInput(), PAIRS, [NOTHING, BACK, SAME], 4, through=["pixels"], intervals=FEW)
    assert result.rows.num_rows == 3 * 4 * 5
    assert set(result.rows.column("error").to_pylist()) == {0.0}


def test_cycles_are_compared_with_their_first_visit_and_null_chains_with_the_original() -> None:
    result = drift(Brighter(), PAIRS, [NOTHING, BACK], 4, through=["pixels"], batch_size=3, intervals=FEW)
    assert means(result, "back", "pixels")[1:3] == [0.0, 0.0]  # the first visits are what others are compared with
    assert all(error > 0 for error in means(result, "back", "pixels")[3:])
    nothing = means(result, "nothing", "pixels")
    assert nothing[0] == 0 < nothing[1] < nothing[2] < nothing[3]
    assert all(gain < -5 for gain in means(result, "nothing", "pixels", "gain_3")[1:])  # half the contrast: -6 dB


class Moving(Editor):
    """Moves its picture to the right by a pixel."""

    def edit_prepared(self, requests: Sequence[EditRequest], on_step: Any = None) -> list[EditResult]:
        return [EditResult(request.image.roll(1, -1), request) for request in requests]


def test_an_editor_that_moves_its_picture_is_found_out() -> None:
    result = drift(Moving(), WorldSource(4, 64), [NOTHING], 3, through=["pixels"], intervals=FEW)
    assert means(result, "nothing", "pixels", "moved") == pytest.approx([0, 1, 2, 3], abs=0.1)
    assert means(result, "nothing", "pixels", "zoom") == pytest.approx([0, 0, 0, 0], abs=0.3)


def test_the_autoencoder_alone_is_told_apart_from_the_denoiser() -> None:
    module = tiny_module(WORLD).eval()  # outputs zero beside the residual: it copies its input's latents
    lossless = TrainedEditor(module)
    result = drift(lossless, PAIRS, [NOTHING], 2, sampling=PLAIN, intervals=FEW)
    for through, chain in (("pixels", "nothing"), ("latents", "nothing"), ("autoencoder", "none")):
        assert max(means(result, chain, through)) < 0.6  # grey levels: nothing but rounding
    module.autoencoder = Autoencoder(PatchPCA(4, 12), scale_original=True)  # keeps 12 of 48 numbers
    result = drift(lossless, PAIRS, [NOTHING], 3, sampling=PLAIN, intervals=FEW)
    alone, latents = means(result, "none", "autoencoder"), means(result, "nothing", "latents")
    assert alone[1] > 2
    assert latents[1] == pytest.approx(alone[1], abs=0.3)
    assert alone[3] == pytest.approx(alone[1], abs=0.5)  # a projection loses what it loses once
    high, low = (means(result, "none", "autoencoder", f"error_{band}")[1] for band in (4, 0))
    assert high > low


def test_latents_of_models_that_do_not_scale_the_original_are_scaled_back() -> None:
    """With eyes for nothing but the original, whose scale decides, pixels and latents agree where nothing is lost."""
    config = IP2P | {"autoencoder": IP2P["autoencoder"]}
    module = seeing(tiny_module(config))
    codec = PatchPCA(2, 12)
    codec.register_to_config(scaling_factor=0.25)
    editor = TrainedEditor(module)
    seen: list[torch.Tensor] = []
    module.autoencoder = Autoencoder(codec)
    module.sampler.__class__ = type("Keeping", (type(module.sampler),), {
        "__call__": lambda self, denoise, original, *_, **__: seen.append(original) or original * 0.25
    })  # fmt: skip
    drift(editor, PAIRS, [NOTHING], 3, through=["latents"], intervals=FEW)
    assert len(seen) == 3
    torch.testing.assert_close(seen[2], seen[0])


def test_chains_depend_on_neither_the_batch_nor_the_other_chains() -> None:
    editor = TrainedEditor(seeing(tiny_module()))
    options: dict[str, Any] = {"sampling": SamplingSettings(steps=1), "intervals": FEW, "seeds": [3]}
    one = drift(editor, PAIRS, [SAME], 2, batch_size=1, **options)
    all_ = drift(editor, PAIRS, [NOTHING, SAME], 2, batch_size=4, **options)
    for through in ("pixels", "latents"):
        assert means(one, "same", through) == pytest.approx(means(all_, "same", through), abs=0.2)


def test_figure_and_files(tmp_path: Path) -> None:
    result = drift(Brighter(), PAIRS, [NOTHING, BACK], 3, through=["pixels"], intervals=FEW, count=2)
    assert len(drift_figure(result).axes) == 3
    result.save(tmp_path)
    assert len((tmp_path / "turns.csv").read_text().splitlines()) == 1 + 2 * 4


def test_bands_add_up_and_say_where_an_error_is() -> None:
    images = torch.rand(2, 3, 24, 40) * 2 - 1
    powers = band_powers(images)
    assert powers.shape == (2, len(EDGES))
    torch.testing.assert_close(powers.sum(1), images.double().square().mean((1, 2, 3)))
    waves = torch.sin(
        2 * torch.pi * torch.arange(64) * torch.tensor([[1 / 64], [3 / 64], [6 / 64], [12 / 64], [24 / 64]])
    )
    errors = band_errors(waves[:, None, None].expand(-1, 3, 64, -1), torch.zeros(5, 3, 64, 64))
    assert errors.argmax(1).tolist() == [0, 1, 2, 3, 4]
    assert band_gains(images * 2, images).mean() == pytest.approx(6.02, abs=0.01)
    assert band_gains(images + 0.1, images).abs().max() < 1e-4  # colour is no sharpness


def test_what_cannot_be_run_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a CopyInput has no latents of its own; set through=\[pixels\]"):
        drift(CopyInput(), PAIRS, [NOTHING], 2)
    with pytest.raises(ValueError, match="at least one turn"):
        drift(CopyInput(), PAIRS, [NOTHING], 0, through=["pixels"])
    with pytest.raises(ValueError, match="count=5 but there are 4 pairs"):
        drift(CopyInput(), PAIRS, [NOTHING], 1, through=["pixels"], count=5)
    with pytest.raises(ValueError, match="chain 'x': instructions"):
        Chain("x", ())
