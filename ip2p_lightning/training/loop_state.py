"""Lightning's counts in a checkpoint, made those of a run that stopped right after a complete step.

What Lightning writes depends on the hook in which it saves, and what it makes of that depends on how often the run
has gone on before: a run that goes on twice can repeat an epoch. The loader knows where the epoch is, so everything
is derived from its state.
"""

from __future__ import annotations

from typing import Any


def rewind(checkpoint: dict[str, Any], accumulate: int, finished: bool = False) -> None:
    """Rewrite the fit loop's counts, in place.

    Batches after the last optimizer step are forgotten, since their gradients are not in the checkpoint. Another
    number of processes or of accumulated batches is taken into account.

    Args:
        checkpoint: Lightning's, with the state of a `ResumableLoader`; any other is left alone.
        accumulate: batches for each optimizer step, now.
        finished: the stage has no step left, and the next one begins an epoch.
    """
    loop = checkpoint["loops"]["fit_loop"]
    places = loop["state_dict"].get("combined_loader")
    if not places or "step_size" not in places[0]:
        return
    place, batches, epochs = places[0], loop["epoch_loop.batch_progress"], loop["epoch_progress"]
    step_size, global_batch = place["step_size"], place["step_size"] // accumulate
    at_end = batches["is_last_batch"]  # the last step of an epoch that is cut short may be smaller
    pairs = place["pairs"] if at_end else place["pairs"] // step_size * step_size
    total = batches["total"]["ready"] * place["global_batch"] - place["pairs"] + pairs
    _set(batches["current"], pairs // global_batch, complete=finished)
    _set(batches["total"], total // global_batch, complete=finished)
    for progress in (epochs["current"], epochs["total"]):
        _set(progress, place["epoch"] + 1, complete=finished)
        progress["processed"] = progress["completed"]
    validation = loop["epoch_loop.val_loop.batch_progress"]
    for progress in (validation["current"], validation["total"]):
        _set(progress, 0, complete=True)
    loop["epoch_loop.state_dict"]["_batches_that_stepped"] = checkpoint["global_step"] - (0 if finished else 1)


def _set(progress: dict[str, int], count: int, complete: bool) -> None:
    progress.update(ready=count, started=count, processed=count, completed=count - (0 if complete else 1))
