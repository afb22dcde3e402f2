"""Training with the cache is training without it: the same losses and weights, and no encoder in the step."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from factories import IP2P, LGIE, MGIE, TEXT, stage, tiny_module
from torch import Tensor

from ip2p_lightning.callbacks.cache import EncodingCache
from ip2p_lightning.callbacks.checkpoint import Checkpoint
from ip2p_lightning.callbacks.step_randomness import StepRandomness
from ip2p_lightning.config import build, compose
from ip2p_lightning.data.datamodule import EditDataModule
from ip2p_lightning.data.pair import EditPair, PairBatch
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.data.transforms import PairTransform
from ip2p_lightning.methods.editing import EditingModule
from ip2p_lightning.training.stop_request import Stopped

FROZEN = {"trainable": {"denoiser.*": {"lr": 1e-2}}}
PLAIN = {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 1e-2}
"""Adam would blow rounding of gradients near zero up to its learning rate."""


class Seen(L.Callback):
    """Losses of every step, and its batches."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.batches: list[PairBatch] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.losses.append(outputs["loss"].detach().clone())
        self.batches.append(batch)


def data() -> EditDataModule:
    transform = PairTransform(16, flip=0.5, flip_sided=True)
    return EditDataModule(WorldSource(9, 16), transform=transform, batch_size=4, seed=3)


def trained(module: EditingModule, trainer: Any, cache: EncodingCache | None, **options: Any) -> Seen:
    seen = Seen()
    torch.manual_seed(5)
    callbacks = [seen] if cache is None else [seen, cache]
    module.stage = module.stages[0]
    trainer(*callbacks, max_steps=5, **options).fit(module, data())
    return seen


def both(
    tmp_path: Path, trainer: Any, config: dict[str, Any], tolerance: float = 1e-5, **options: Any
) -> tuple[Seen, Seen]:
    """Train with and without the cache, and compare losses and weights."""
    results = []
    for cache in (None, EncodingCache(tmp_path / "cache", batch_size=3, part_pairs=4)):
        module = tiny_module(config, optimizer=PLAIN)
        results.append((trained(module, trainer, cache, **options), module))
    (plain, without), (cached, with_cache) = results
    torch.testing.assert_close(torch.stack(cached.losses), torch.stack(plain.losses), atol=tolerance, rtol=tolerance)
    for (name, a), (_, b) in zip(without.named_parameters(), with_cache.named_parameters(), strict=True):
        torch.testing.assert_close(b, a, atol=tolerance, rtol=tolerance, msg=name)
    return plain, cached


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_training_equals_training_without(tmp_path, trainer, probability):
    conditioner = TEXT | {"expressive_probability": probability}
    config = IP2P | {"conditioner": conditioner, "stages": [stage(**FROZEN)]}
    plain, cached = both(tmp_path, trainer, config)
    assert [batch.id for batch in cached.batches] == [batch.id for batch in plain.batches]
    assert all(batch.original_image.numel() == 0 for batch in cached.batches)
    names = {"brief_states"} if probability < 1 else set()
    names |= {"expressive_states"} if probability > 0 else set()
    assert set(cached.batches[0].cached) == names | {"edited_mean", "edited_std", "original_mean"}


def test_frozen_encoders_are_not_run_in_the_step(tmp_path, trainer):
    module = tiny_module(IP2P | {"stages": [stage(**FROZEN)]})
    cache = EncodingCache(tmp_path, part_pairs=4)
    trained(module, trainer, cache)
    calls = []
    for network in (module.autoencoder.vae.encoder, module.conditioner.text_encoder):
        network.register_forward_pre_hook(lambda network, _: calls.append(type(network).__name__))
    trained(module, trainer, cache)
    assert calls == []  # the null condition is known from the first time


class Interrupting(WorldSource):
    """Asks this process to stop when a fifth pair is drawn, whichever it is: a cache begins at any of its parts."""

    drawn = 0

    def __getitem__(self, index: int) -> EditPair:
        self.drawn += 1
        if self.drawn == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__getitem__(index)

    def fingerprint(self) -> str:
        return "which draws no pairs"


def test_a_run_that_is_asked_to_stop_while_it_builds_keeps_what_is_built(tmp_path, trainer, caplog):
    before = signal.getsignal(signal.SIGTERM)
    made = EditDataModule(Interrupting(9, 16), transform=PairTransform(16, flip=0.0), batch_size=4)
    callbacks = [EncodingCache(tmp_path / "cache", part_pairs=2), Checkpoint(tmp_path / "run")]
    with pytest.raises(Stopped) as stopped:
        trainer(*callbacks, enable_checkpointing=True).fit(tiny_module(IP2P | {"stages": [stage(**FROZEN)]}), made)
    assert stopped.value.code == 75
    assert "stopped by SIGTERM while the cache was built" in caplog.text
    assert signal.getsignal(signal.SIGTERM) is before
    assert not (tmp_path / "run").exists()
    assert 1 <= len(list(tmp_path.glob("cache/latents-*/*.safetensors"))) <= 4  # of five parts


def test_a_text_encoder_that_learns_is_run_and_the_rest_is_cached(tmp_path, trainer):
    config = IP2P | {"stages": [stage(trainable={"*": {"lr": 1e-3}})]}
    _, cached = both(tmp_path, trainer, config)
    assert set(cached.batches[0].cached) == {"edited_mean", "edited_std", "original_mean"}
    assert {folder.name.split("-")[0] for folder in tmp_path.glob("cache/*")} == {"texts", "latents"}


@pytest.mark.parametrize("config", [MGIE, LGIE], ids=["mgie", "lgie"])
def test_states_of_a_frozen_language_model(tmp_path, trainer, config):
    head = stage(trainable={"conditioner.edit_head.*": {"lr": 1e-3}, "denoiser.*": {"lr": 1e-3}})
    _, cached = both(tmp_path, trainer, config | {"stages": [head]})
    assert "visual_states" in cached.batches[0].cached
    assert cached.batches[0].original_image.numel() == 0


def test_pictures_stay_where_a_language_model_that_learns_looks_at_them(tmp_path, trainer):
    _, cached = both(tmp_path, trainer, MGIE)
    assert set(cached.batches[0].cached) == {"edited_mean", "edited_std", "original_mean"}
    assert cached.batches[0].original_image.shape[1:] == (3, 16, 16)


def test_mixed_precision_is_another_cache(tmp_path, trainer):
    config = IP2P | {"stages": [stage(**FROZEN)]}
    both(tmp_path, trainer, config)
    both(tmp_path, trainer, config, tolerance=5e-3, precision="bf16-mixed")
    assert len(list(tmp_path.glob("cache/latents-*"))) == 2


def test_networks_in_half_precision_get_pictures_of_their_type(tmp_path, trainer):
    module = tiny_module(IP2P | {"stages": [stage(**FROZEN)]})
    cached = trained(module, trainer, EncodingCache(tmp_path), precision="bf16-true")
    assert cached.batches[0].cached["edited_mean"].dtype == torch.bfloat16


@pytest.mark.parametrize("cached_first", [False, True])
def test_a_run_goes_on_with_the_cache_switched_on_or_off(tmp_path, trainer, cached_first):
    """The rest of the run sees the same pairs and learns the same, to rounding."""

    def run(name: str, cached: bool, ckpt: Any = None) -> tuple[Seen, EditingModule]:
        module, seen = tiny_module(IP2P | {"stages": [stage(**FROZEN)]}, optimizer=PLAIN), Seen()
        keep = Checkpoint(
            tmp_path / name, filename="step-{step}", auto_insert_metric_name=False, save_top_k=-1,
            every_n_train_steps=1, stop_signals=[],
        )  # fmt: skip
        cache = [EncodingCache(tmp_path / "cache", part_pairs=4)] if cached else []
        torch.manual_seed(5)
        module.stage = module.stages[0]
        fitting = trainer(seen, keep, StepRandomness(), *cache, max_steps=5, enable_checkpointing=True)
        fitting.fit(module, data(), ckpt_path=ckpt, weights_only=True)
        return seen, module

    whole, expected = run("whole", cached_first)
    rest, found = run("rest", not cached_first, tmp_path / "whole/step-3.ckpt")
    assert [batch.id for batch in rest.batches] == [batch.id for batch in whole.batches[3:]]
    assert all(bool(batch.cached) != cached_first for batch in rest.batches)
    torch.testing.assert_close(torch.stack(rest.losses), torch.stack(whole.losses[3:]), atol=1e-5, rtol=1e-5)
    for (name, a), (_, b) in zip(expected.named_parameters(), found.named_parameters(), strict=True):
        torch.testing.assert_close(b, a, atol=1e-5, rtol=1e-5, msg=name)


def test_a_schedule_over_the_epoch_does_not_hide_the_cache(tmp_path, trainer):
    module = tiny_module(IP2P | {"stages": [stage(**FROZEN, warmup=0.5)]})
    seen = Seen()
    trainer(seen, EncodingCache(tmp_path), max_steps=-1, max_epochs=1).fit(module, data())
    assert all(batch.cached for batch in seen.batches)


def test_the_data_module_gets_its_pictures_back(tmp_path, trainer):
    pairs, module = data(), tiny_module(IP2P | {"stages": [stage(**FROZEN)]})
    before = pairs.train, pairs.transform
    trainer(EncodingCache(tmp_path)).fit(module, pairs)
    assert (pairs.train, pairs.transform) == before


def test_too_small_a_limit_stops_before_the_first_step(tmp_path, trainer):
    seen = Seen()
    with pytest.raises(ValueError, match=r"cache\.limit_gb"):
        trainer(seen, EncodingCache(tmp_path, limit_gb=1e-7)).fit(tiny_module(), data())
    assert seen.losses == []
    with pytest.raises(ValueError, match="above 0"):
        EncodingCache(limit_gb=0)


def test_other_modules_are_refused(tmp_path, trainer):
    with pytest.raises(TypeError, match="cache=null"):
        trainer(EncodingCache(tmp_path)).fit(tiny_module(), data().train_dataloader())


def test_one_key_turns_it_on(tmp_path):
    config = compose("train", ["experiment=ip2p/tiny", "cache=disk", f"cache.folder={tmp_path}", "output_dir=unused"])
    assert isinstance(build(config.cache), EncodingCache)
    assert "cache" not in compose("train", ["experiment=ip2p/tiny", "output_dir=unused"])
