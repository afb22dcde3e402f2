"""Conditioning dropout: exact shares, exact masking."""

from __future__ import annotations

import pytest
import torch

from ip2p_lightning.diffusion.dropout import ConditioningDropout
from ip2p_lightning.states import States

pytestmark = pytest.mark.numeric


def drop(dropout: ConditioningDropout, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Which of `count` samples lost their text, and which their picture."""
    embeddings, null = torch.ones(count, 2, 3), torch.full((count, 2, 3), -1.0)
    original = torch.full((count, 1, 2, 2), 5.0)
    states, seen = dropout(States(embeddings), States(null), original, torch.Generator().manual_seed(0))
    dropped = states.embeddings
    assert set(dropped.unique().tolist()) <= {-1.0, 1.0}
    assert set(seen.unique().tolist()) <= {0.0, 5.0}
    text, image = (dropped == -1).flatten(1), (seen == 0).flatten(1)
    assert torch.equal(text.all(1), text.any(1)), "a sample's text is dropped whole or not at all"
    assert torch.equal(image.all(1), image.any(1)), "a sample's picture is dropped whole or not at all"
    return text.all(1), image.all(1)


@pytest.mark.parametrize("shares", [(0.05, 0.05, 0.05), (0.2, 0.1, 0.3), (0.0, 0.0, 0.5), (0.3, 0.0, 0.0)])
def test_shares_are_disjoint_and_as_asked(shares: tuple[float, float, float]) -> None:
    count = 40_000
    text, image = drop(ConditioningDropout(*shares), count)
    observed = [(text & ~image).sum(), (image & ~text).sum(), (text & image).sum()]
    for seen, share in zip(observed, shares, strict=True):
        tolerance = 5 * (share * (1 - share) / count) ** 0.5
        assert abs(float(seen) / count - share) <= tolerance


def test_decision_is_the_released_code_s(monkeypatch: pytest.MonkeyPatch) -> None:
    uniform = torch.tensor([0.0, 0.049, 0.05, 0.099, 0.1, 0.149, 0.15, 0.9])
    monkeypatch.setattr(torch, "rand", lambda *_, **__: uniform)
    text, image = drop(ConditioningDropout(), len(uniform))
    assert text.tolist() == (uniform < 0.10).tolist()
    assert image.tolist() == ((uniform >= 0.05) & (uniform < 0.15)).tolist()


def test_nothing_and_everything() -> None:
    text, image = drop(ConditioningDropout(0, 0, 0), 1000)
    assert not text.any()
    assert not image.any()
    text, image = drop(ConditioningDropout(0, 0, 1), 1000)
    assert text.all()
    assert image.all()


def test_both_conditions_keep_their_gradient() -> None:
    embeddings, null = torch.randn(8, 2, 3, requires_grad=True), torch.randn(8, 2, 3, requires_grad=True)
    dropped, _ = ConditioningDropout(0.5, 0, 0)(States(embeddings), States(null), torch.randn(8, 1, 2, 2))
    dropped.embeddings.sum().backward()
    assert torch.equal(embeddings.grad + null.grad, torch.ones(8, 2, 3))
    assert 0 < null.grad.sum() < null.grad.numel()


@pytest.mark.parametrize("shares", [(-0.1, 0, 0), (0.5, 0.4, 0.2)])
def test_refuses_impossible_shares(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="sum to <= 1"):
        ConditioningDropout(*shares)
