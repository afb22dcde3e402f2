"""Latents of both images as the autoencoder's posterior: mean and deviation, so that each epoch samples again."""

from __future__ import annotations

from torch import Tensor

from ip2p_lightning.cache.encoding import Encoding
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.models.autoencoder import Autoencoder, Posterior

MEAN, STD, ORIGINAL = "edited_mean", "edited_std", "original_mean"


def latents(autoencoder: Autoencoder) -> Encoding:
    """Latents for the training step: the edited image's posterior and the original's mode, unscaled."""

    def encode(batch: PairBatch) -> dict[str, Tensor]:
        edited, original = autoencoder.posterior(batch.edited_image), autoencoder.posterior(batch.original_image)
        deviation = {} if edited.std is None else {STD: edited.std}
        return {MEAN: edited.mean, **deviation, ORIGINAL: original.mean}

    return Encoding("latents", autoencoder.vae, encode)


def posteriors(batch: PairBatch, autoencoder: Autoencoder) -> tuple[Posterior, Posterior]:
    """Posteriors of the edited and the original images: the cached ones, or the autoencoder's own."""
    known = batch.cached
    if MEAN in known:
        return Posterior(known[MEAN], known.get(STD)), Posterior(known[ORIGINAL])
    return autoencoder.posterior(batch.edited_image), autoencoder.posterior(batch.original_image)
