"""The training loader, which knows where it is and can be put back there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch
from torch.utils.data import DataLoader

from ip2p_lightning.data.loading import TransformedPairs
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.data.sampler import ElasticSampler

_IDENTITY = {
    "seed": "another seed of the order (data.seed)",
    "order": "another data.order",
    "tail": "another data.tail",
    "data": "other pairs",
}


class ResumableLoader(DataLoader[PairBatch]):
    """Batches of a sampler's addresses; its state counts batches that were taken, not those that workers prefetched.

    The state is the same on every rank, and another number of processes may take it over, as long as the pairs of an
    optimizer step stay as many. `len` is a whole epoch's, also where one is entered in the middle.

    Args:
        pairs: what is loaded.
        sampler: which of them, in batches.
        workers: loader processes; 0 loads in this one.
    """

    def __init__(self, pairs: TransformedPairs, sampler: ElasticSampler, workers: int = 0) -> None:
        super().__init__(
            pairs,  # type: ignore[arg-type]  # of pairs, which collating makes batches
            sampler=sampler,
            batch_size=None,  # the sampler's items are batches
            num_workers=workers,
            collate_fn=PairBatch.collate,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=workers > 0,
        )
        self.steps = sampler

    def __iter__(self) -> Iterator[PairBatch]:  # type: ignore[override]
        """The batches from where a state put it, or of the whole epoch.

        A generator: Lightning asks for the iterator before it tells the epoch, and what counts is the epoch at the
        first batch.
        """
        batches = super().__iter__()
        self.steps.position, self.steps.start = self.steps.start, 0
        for batch in batches:
            self.steps.position += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Position within the epoch, in pairs of all ranks, and the settings of that epoch; plain values."""
        steps = self.steps
        return {
            "epoch": steps.epoch,
            "pairs": steps.position * steps.global_batch,
            "global_batch": steps.global_batch,
            "step_size": steps.step_size,
            **self._identity,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was called; after batches whose optimizer step was not taken, before them.

        Raises:
            ValueError: a state of other data, another order, or other numbers of pairs in a step; says what to do.
        """
        differing = [what for key, what in _IDENTITY.items() if state[key] != self._identity[key]]
        if differing:
            raise ValueError(
                f"the checkpoint was trained on {' and '.join(differing)}, so that its place in the epoch means "
                "nothing here. Go on with the data of that run (config.yaml in its folder), or begin a new run with "
                "its weights: init=[{checkpoint: FILE, from: '', to: ''}]"
            )
        steps = self.steps
        if state["step_size"] != steps.step_size:
            raise ValueError(
                f"the checkpoint takes {state['step_size']} pairs in a step, this run {steps.step_size} "
                f"({steps.global_batch // steps.num_replicas} on each of {steps.num_replicas} process(es), "
                f"{steps.accumulate} time(s)); choose data.batch_size and trainer.accumulate_grad_batches so that "
                f"their product with the number of processes is {state['step_size']}"
            )
        steps.epoch, steps.start = state["epoch"], state["pairs"] // steps.step_size * steps.accumulate
        steps.position = steps.start

    @cached_property
    def _identity(self) -> dict[str, Any]:
        steps = self.steps
        return {
            "seed": steps.seed,
            "order": repr(steps.order),
            "tail": steps.tail,
            "data": self.dataset.fingerprint(),  # type: ignore[attr-defined]
        }
