"""Drift of an image under repeated edits.

Editing in turns is how people edit, and every method loses by it (MagicBrush: DINO 0.74 after one turn, 0.62 after the
last). To see by what, three chains are run next to each other: through pixels, as files are passed on; through latents,
which leaves the autoencoder out; and through the autoencoder alone, which leaves the denoiser out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from ip2p_lightning.csv_table import write_csv
from ip2p_lightning.data.alignment import align
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.data.randomness import hashed_integer
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.request import EditRequest
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.evaluation.bands import EDGES, band_errors, band_gains
from ip2p_lightning.evaluation.figures import IntervalSettings, MetricInfo
from ip2p_lightning.evaluation.rows import Transform, as_saved, batches
from ip2p_lightning.metrics.base import mean_error

Through = Literal["pixels", "latents", "autoencoder"]
BANDS = range(len(EDGES))
MOVEMENTS = ("moved", "zoom")
"""Displacement from the original in pixels and enlargement against it in per cent; NaN where that is unknown."""
_NO_INTERVALS = IntervalSettings()
_AS_TRAINED = SamplingSettings()


@dataclass(frozen=True)
class Chain:
    """Instructions that are carried out in turn, again from the first when they are done.

    Args:
        name: what tables call it.
        instructions: "{instruction}" stands for each pair's own. One that asks for nothing makes a null chain, two that
            undo each other a cycle A -> B -> A, one that is repeated asks for what is there already.
        from_start: compare every turn with the original image, as for chains that should change nothing; else with
            the first image that came of the same instruction, which a perfect editor would give again.

    Raises:
        ValueError: no instructions.
    """

    name: str
    instructions: tuple[str, ...]
    from_start: bool = False

    def __post_init__(self) -> None:
        if not self.instructions or not all(text.strip() for text in self.instructions):
            raise ValueError(f"chain {self.name!r}: instructions {list(self.instructions)} must be texts, at least one")
        object.__setattr__(self, "instructions", tuple(self.instructions))

    def at(self, turn: int, pairs: PairBatch) -> list[str]:
        """The instruction of each pair at a turn (from 1)."""
        text = self.instructions[(turn - 1) % len(self.instructions)]
        return [text.replace("{instruction}", own) for own in pairs.instruction]

    def compared_with(self, turn: int) -> int:
        """The turn whose image a turn's is compared with; 0 is the original."""
        return 0 if self.from_start else (turn - 1) % len(self.instructions) + 1


@dataclass
class Drift:
    """Values of every turn of every chain.

    Args:
        rows: a row for each chain, way, pair, seed and turn (0 is the original): error in grey levels, `error_0` ... by
            band (root mean square in grey levels), `gain_0` ... by band (dB), and `MOVEMENTS`.
        provenance: where they come from, JSON values.
        intervals: how intervals are made.
    """

    rows: pa.Table
    provenance: dict[str, Any] = field(default_factory=dict)
    intervals: IntervalSettings = field(default_factory=IntervalSettings)

    def by_turn(self) -> pa.Table:
        """A row for each chain, way and turn: the mean error with its interval, means by band, median movements."""
        info = MetricInfo("error", "/255", False)
        columns = {name: self.rows.column(name).to_numpy(zero_copy_only=False) for name in self.rows.column_names}
        keys = zip(*(columns[name].tolist() for name in ("chain", "through", "turn")), strict=True)
        found: dict[tuple[Any, ...], list[int]] = {}
        for place, key in enumerate(keys):
            found.setdefault(key, []).append(place)
        rows = []
        for (chain, through, turn), at in found.items():
            groups = columns[self.intervals.grouped_by][at].tolist()
            error = self.intervals.interval(columns["error"][at], groups, info)
            row = {"chain": chain, "through": through, "turn": turn, "error": error.estimate}
            row |= {"error_low": error.low, "error_high": error.high}
            for band in BANDS:
                row[f"error_{band}"] = float(np.sqrt(np.square(columns[f"error_{band}"][at]).mean()))
                gains = columns[f"gain_{band}"][at].astype(np.float64)
                row[f"gain_{band}"] = float(np.nanmean(gains)) if not np.isnan(gains).all() else float("nan")
            for name in MOVEMENTS:
                values = columns[name][at].astype(np.float64)
                row[name] = float(np.nanmedian(values)) if not np.isnan(values).all() else float("nan")
            rows.append(row)
        return pa.Table.from_pylist(rows)

    def save(self, folder: str | Path) -> Path:
        """Write `rows.parquet` and `turns.csv`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(self.rows, folder / "rows.parquet", compression="zstd")
        write_csv(self.by_turn(), folder / "turns.csv")
        return folder


def drift(
    editor: Editor,
    pairs: PairSource,
    chains: Sequence[Chain],
    turns: int,
    *,
    through: Sequence[Through] = ("pixels", "latents", "autoencoder"),
    count: int | None = None,
    seeds: Sequence[int] = (0,),
    batch_size: int = 16,
    transform: Transform | None = None,
    sampling: SamplingSettings = _AS_TRAINED,
    intervals: IntervalSettings = _NO_INTERVALS,
    on_progress: Callable[[int], None] | None = None,
) -> Drift:
    """Run every chain every way and compare each turn.

    The autoencoder alone asks for nothing and is run once, as the chain "none".

    Args:
        editor: what edits; "latents" and "autoencoder" need one of this package's models.
        pairs: where originals (and "{instruction}") come from.
        chains: what is asked for.
        turns: number of turns.
        through: how an image gets from one turn to the next.
        count: the first so many pairs; None for all.
        seeds: of the noise, which is another at every turn.
        batch_size: images at once.
        transform: see `evaluate`.
        sampling: overrides of the editor's own steps and scales.
        intervals: how intervals are made.
        on_progress: called with the number of images after each turn.

    Raises:
        ValueError: no turns, two chains of one name, a count that the pairs do not allow, or an editor without latents.
    """
    _check(editor, chains, turns, through, count, len(pairs))
    positions = list(range(count or len(pairs)))
    ways: list[tuple[Chain, Through]] = [(chain, way) for chain in chains for way in through if way != "autoencoder"]
    if "autoencoder" in through:
        ways.append((Chain("none", ("-",), from_start=True), "autoencoder"))
    rows: list[dict[str, Any]] = []
    for start in range(0, len(positions), batch_size):
        block = positions[start : start + batch_size]
        for batch in batches(block, [pairs[place] for place in block], transform):
            facts = [{"pair": pair.id, "group": pair.group} for pair in batch.pairs]
            for chain, way in ways:
                for seed in seeds if way != "autoencoder" else seeds[:1]:
                    run = _pictures(editor, batch.tensors, chain, way, turns, seed, sampling)
                    named = [{"chain": chain.name, "through": way, "seed": seed, **fact} for fact in facts]
                    rows += _compared(run, chain, named, on_progress or (lambda pictures: None))
    data = {"name": pairs.name, "licence": pairs.licence, "fingerprint": pairs.fingerprint()}
    asked = {chain.name: list(chain.instructions) for chain in chains}
    provenance = {"data": data, "chains": asked, "seeds": list(seeds), "sampling": sampling.given()}
    return Drift(pa.Table.from_pylist(rows), provenance, intervals)


def _check(
    editor: Editor, chains: Sequence[Chain], turns: int, through: Sequence[Through], count: int | None, total: int
) -> None:
    names = [chain.name for chain in chains]
    if turns < 1 or len(set(names)) != len(names):
        raise ValueError(f"turns={turns} of chains {names}: need at least one turn, and a name of its own for each")
    if count is not None and not 1 <= count <= total:
        raise ValueError(f"count={count} but there are {total} pairs; choose 1 to {total}, or null")
    if not isinstance(editor, TrainedEditor) and set(through) != {"pixels"}:
        raise ValueError(f"a {type(editor).__name__} has no latents of its own; set through=[pixels]")


def _compared(
    run: Iterator[Tensor], chain: Chain, named: Sequence[dict[str, Any]], on_progress: Callable[[int], None]
) -> Iterator[dict[str, Any]]:
    """Rows of a chain whose images come turn by turn, the original first."""
    kept: dict[int, Tensor] = {}
    for turn, images in enumerate(run):
        other = chain.compared_with(turn) if turn else 0
        if turn <= len(chain.instructions):
            kept[turn] = images  # may be compared with later
        error = mean_error(images, kept[other])
        errors, gains = band_errors(images, kept[other]), band_gains(images, kept[other])
        for place, names in enumerate(named):
            bands = {f"error_{band}": float(errors[place, band]) for band in BANDS}
            bands |= {f"gain_{band}": float(gains[place, band]) for band in BANDS}
            bands |= _movement(kept[0][place], images[place]) if turn else dict.fromkeys(MOVEMENTS, 0.0)
            yield {**names, "turn": turn, "error": float(error[place]), **bands}
        if turn:
            on_progress(len(named))


def _movement(original: Tensor, image: Tensor) -> dict[str, float]:
    found = align(original, image)
    zoom = 100 * (found.zoom - 1) if found.found else math.nan
    return dict(zip(MOVEMENTS, (found.displacement, zoom), strict=True))


@torch.no_grad()
def _pictures(
    editor: Editor, pairs: PairBatch, chain: Chain, way: Through, turns: int, seed: int, sampling: SamplingSettings
) -> Iterator[Tensor]:
    """The original and the image after each turn, [B, 3, H, W] in [-1, 1] as saved."""
    images = as_saved(pairs.original_image)
    yield images
    latents: Tensor | None = None
    for turn in range(1, turns + 1):
        each = [hashed_integer(seed, f"{id} turn {turn}") % 2**63 for id in pairs.id]
        if way == "pixels":
            asked = zip(images, chain.at(turn, pairs), each, strict=True)
            requests = [EditRequest(image, text, number, sampling) for image, text, number in asked]
            images = as_saved(editor.answer(requests).images)
        else:
            assert isinstance(editor, TrainedEditor)  # checked by `drift`
            with editor.computing():
                if way == "autoencoder":
                    images = _round_trip(editor, images)
                else:
                    latents, images = _latent_turn(editor, latents, images, chain.at(turn, pairs), each, sampling)
        yield images


def _round_trip(editor: TrainedEditor, images: Tensor) -> Tensor:
    """Images through the autoencoder and 8 bits, at the mode of the posterior."""
    module = editor.module
    posterior = module.autoencoder.posterior(images.to(module.device).type(module.dtype))
    return as_saved(module.autoencoder.decode(module.autoencoder.sample(posterior._replace(std=None))))


def _latent_turn(
    editor: TrainedEditor,
    latents: Tensor | None,
    images: Tensor,
    instructions: list[str],
    seeds: list[int],
    sampling: SamplingSettings,
) -> tuple[Tensor, Tensor]:
    """The denoiser's edit of latents (of the images, at the first turn), and its decoding.

    The conditioner, which may look at the original, sees the decoded image.
    """
    module = editor.module
    autoencoder = module.autoencoder
    pictures = images.to(module.device).type(module.dtype)
    if latents is None:
        given = autoencoder.encode_original(pictures)
    elif autoencoder.scale_original:
        given = latents
    else:
        given = latents / autoencoder.vae.config.scaling_factor + (autoencoder.vae.config.get("shift_factor") or 0.0)
    condition = module.conditioner.condition(instructions, pictures)
    edited = module.sample(
        given,
        condition,
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        **module.sampler.options(sampling),
    )
    return edited, as_saved(autoencoder.decode(edited))
