"""A run that goes on from any step sees the pairs, and gets the weights, of one that never stopped."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from processes import on_ranks
from walker import Walk, walk

from ip2p_lightning.data.order import Nearby

# 22 pairs, 4 a step: epochs of 5 steps and 15 steps in all
PLACES = {"first batch": 1, "mid epoch 0": 3, "last batch": 5, "first of epoch 1": 6, "mid epoch 1": 8, "end": 10}


def steps(walks: list[Walk], accumulate: int = 1) -> list[tuple[set[int], set[str]]]:
    """Epochs and ids of each optimizer step over all ranks."""
    found = []
    for first in range(0, len(walks[0].seen), accumulate):
        batches = [batch for part in walks for batch in part.seen[first : first + accumulate]]
        found.append(({epoch for epoch, _, _ in batches}, {id for _, ids, _ in batches for id in ids}))
    return found


def same_weights(a: Walk, b: Walk) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.weights, b.weights, strict=True))


def check_continued(whole: Walk, rest: Walk, place: int, accumulate: int = 1) -> None:
    assert rest.seen == whole.seen[place * accumulate :], "the same pairs, pixels and epochs"
    assert (rest.step, rest.epoch) == (whole.step, whole.epoch)
    assert same_weights(rest, whole)


SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "workers": {"data": {"workers": 2}},
    "strict tail": {"data": {"tail": "strict"}},
    "accumulated": {"batch_size": 2, "accumulate_grad_batches": 2},
    "validated": {"limit_val_batches": 1.0, "val_check_interval": 2},
    "scheduled": {"module": {"schedule": True}},
    "limited": {"limit_train_batches": 4, "pairs": 30},
    "by epochs": {"max_steps": -1, "max_epochs": 3},
    "loader asked for early": {"max_steps": -1, "max_epochs": 3, "module": {"schedule": True, "length": True}},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_goes_on_from_any_step(tmp_path: Path, name: str) -> None:
    settings = SETTINGS[name]
    accumulate = settings.get("accumulate_grad_batches", 1)
    whole = walk(tmp_path / "whole", **settings)
    per_epoch = 4 if name == "limited" else 5
    epochs = [epoch for epochs, _ in steps([whole], accumulate) for epoch in epochs]
    assert epochs == [step // per_epoch for step in range(len(epochs))]
    for place in PLACES.values():
        rest = walk(tmp_path / f"from-{place}", ckpt=tmp_path / f"whole/step-{place}.ckpt", **settings)
        check_continued(whole, rest, place, accumulate)
    again = walk(tmp_path / "again", ckpt=tmp_path / "from-5/step-8.ckpt", **settings)
    check_continued(whole, again, 8, accumulate)  # Lightning alone repeats an epoch when a run goes on twice
    over = walk(tmp_path / "over", ckpt=tmp_path / f"whole/step-{whole.step}.ckpt", **settings)
    assert over.seen == []
    assert same_weights(over, whole)


def test_a_run_can_be_made_longer(tmp_path: Path) -> None:
    whole = walk(tmp_path / "whole")
    walk(tmp_path / "short", max_steps=8)
    check_continued(whole, walk(tmp_path / "longer", ckpt=tmp_path / "short/last.ckpt"), 8)


def test_batches_whose_step_was_not_taken_come_again(tmp_path: Path) -> None:
    class SaveInBetween(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
            if trainer.fit_loop.total_batch_idx == 14:  # the first batch of the second step of epoch 1
                trainer.save_checkpoint(tmp_path / "between.ckpt")

    settings = {"batch_size": 2, "accumulate_grad_batches": 2}
    whole = walk(tmp_path / "whole", **settings)
    walk(tmp_path / "short", **settings, max_steps=8, watch=[SaveInBetween()])
    rest = walk(tmp_path / "rest", ckpt=tmp_path / "between.ckpt", **settings)
    assert rest.seen == whole.seen[14:]


def test_what_a_place_is_good_for(tmp_path: Path) -> None:
    walk(tmp_path / "run", max_steps=3)
    ckpt = tmp_path / "run/last.ckpt"
    with pytest.raises(ValueError, match=r"trained on other pairs, so .*config\.yaml .* init="):
        walk(tmp_path / "0", ckpt=ckpt, pairs=23)
    with pytest.raises(ValueError, match=r"another seed of the order \(data\.seed\) and another data\.tail"):
        walk(tmp_path / "1", ckpt=ckpt, data={"seed": 1, "tail": "strict"})
    with pytest.raises(ValueError, match=r"another data\.order"):
        walk(tmp_path / "2", ckpt=ckpt, data={"order": Nearby(4)})
    with pytest.raises(ValueError, match=r"takes 4 pairs in a step, this run 6 \(6 on each of 1 .* choose data\.batch"):
        walk(tmp_path / "3", ckpt=ckpt, batch_size=6)


def test_ranks_share_steps_and_go_on_in_any_number(tmp_path: Path) -> None:
    """2 -> 2, 2 -> 1 and 1 -> 2 ranks, each with 0 and 2 workers; on one rank larger batches, or more of them."""
    module = {"dropout": 0.0}
    alone = walk(tmp_path / "alone", module=module)
    shared = {"batch_size": 2, "module": module}
    workers = {"data": {"workers": 2}}

    def pair() -> dict[str, Walk]:
        found = {"whole": walk(tmp_path / "pair", **shared)}
        for place, (origin, number) in product(PLACES.values(), (("pair", 2), ("alone", 1))):
            ckpt = tmp_path / f"{origin}/step-{place}.ckpt"
            for name, options in ((f"{number}-{place}", {}), (f"{number}-{place}-workers", workers)):
                found[name] = walk(tmp_path / name, ckpt=ckpt, **shared, **options)
        return found

    ranks = on_ranks(2, pair)
    together = [rank["whole"] for rank in ranks]
    assert len(together[0].seen) == len(together[1].seen) == 15, "even steps"
    assert steps(together) == steps([alone])
    for epoch in range(3):
        ids = [id for _, step in steps(together)[5 * epoch : 5 * epoch + 5] for id in step]
        assert len(ids) == len(set(ids)) == 20, "each pair once an epoch, but for a tail of 2"
    assert steps(together)[:5] != steps(together)[5:10], "reshuffled"
    for one, two in zip(alone.gradients, together[0].gradients, strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=0)
    for rank, whole in zip(ranks, together, strict=True):
        for name, rest in rank.items():
            if name.startswith("2-"):
                check_continued(whole, rest, int(name.split("-")[1]))
    for place in PLACES.values():
        for name in (f"1-{place}", f"1-{place}-workers"):
            assert steps([rank[name] for rank in ranks]) == steps([alone])[place:]
        ckpt = tmp_path / f"pair/step-{place}.ckpt"
        larger = walk(tmp_path / f"larger-{place}", ckpt=ckpt, module=module)
        loaded = walk(tmp_path / f"loaded-{place}", ckpt=ckpt, module=module, **workers)
        smaller = walk(tmp_path / f"smaller-{place}", ckpt=ckpt, **shared, accumulate_grad_batches=2)
        assert steps([larger]) == steps([loaded]) == steps([smaller], 2) == steps(together)[place:]
        assert same_weights(larger, loaded)
        for a, b in ((larger, together[0]), (smaller, together[0])):
            for x, y in zip(a.weights, b.weights, strict=True):
                torch.testing.assert_close(x, y, atol=1e-5, rtol=0)


def test_the_loss_scaler_of_half_precision_goes_on(tmp_path: Path) -> None:
    def half() -> list[MixedPrecision]:
        return [MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2))]

    def scaler(name: str) -> dict[str, Any]:
        return torch.load(tmp_path / f"{name}/step-15.ckpt", weights_only=True)["MixedPrecision"]

    whole = walk(tmp_path / "whole", plugins=half())
    rest = walk(tmp_path / "rest", plugins=half(), ckpt=tmp_path / "whole/step-7.ckpt")
    check_continued(whole, rest, 7)
    assert scaler("rest") == scaler("whole")
    assert scaler("whole")["scale"] > 8.0
