"""Searches depend on their seed and the triple alone, tell what became of every candidate, and stop when they may."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
import torch
from generation.pairs_factory import STEPS, TRIPLE, tiny_pipeline

from ip2p_lightning.generation.adaptive_search import AdaptiveSearch, Proposal
from ip2p_lightning.generation.base import Draw, EditTriple
from ip2p_lightning.generation.filter import PairFilter, Thresholds
from ip2p_lightning.generation.prompt_to_prompt import PromptToPromptMaker
from ip2p_lightning.generation.scores import ClipScorer
from ip2p_lightning.generation.search import Candidate, FixedSearch, Ranges
from ip2p_lightning.metrics.encoders import OpenClipEncoder
from ip2p_lightning.models.dual_encoder import DualEncoder
from ip2p_lightning.world.tokenizer import world_tokenizer

ALL = Thresholds(image=-1, direction=-1, text=-1)
NONE = Thresholds(image=1.1)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory) -> ClipScorer:
    torch.manual_seed(0)
    encoder = DualEncoder(
        world_tokenizer(), embed_dim=8, image_size=16, patch_size=8, width=16, layers=1, head_width=8,
        text_width=16, text_layers=1, text_heads=2, context_length=24,
    )  # fmt: skip
    folder = encoder.save(tmp_path_factory.mktemp("clip"), torch.float32)
    return ClipScorer(OpenClipEncoder.from_pretrained(f"local-dir:{folder}", preparation="interpolated"))


@pytest.fixture(scope="module")
def pipeline():
    return tiny_pipeline()


@pytest.fixture
def maker(pipeline) -> PromptToPromptMaker:
    return PromptToPromptMaker(pipeline, steps=STEPS, batch_size=32)


def rows(pairs: list[Candidate]) -> list[tuple]:
    return [(p.draw, p.reason, None if p.scores is None else tuple(vars(p.scores).values())) for p in pairs]


def test_a_fixed_number_of_candidates(maker, scorer):
    result = FixedSearch(PairFilter(ALL), candidates=6).run(TRIPLE, maker, scorer)
    assert result.calls == maker.calls == 6 * 4 * STEPS
    assert result.reasons == Counter({"": 4, "surplus": 2})
    directions = [pair.scores.direction for pair in result.kept]
    assert directions == sorted(directions, reverse=True)
    assert max(pair.scores.direction for pair in result.pairs if pair.reason == "surplus") <= directions[-1]
    assert len(result.finished) == 6
    assert len({pair.draw.seed for pair in result.pairs}) == 6
    assert all(0.1 <= p.draw.share <= 0.9 and 7.5 <= p.draw.guidance_scale <= 15 for p in result.pairs)


def test_candidates_have_an_address(maker, scorer):
    """The first are the same however many there are and however they are made; another triple or seed has others."""
    few = FixedSearch(PairFilter(ALL), candidates=3).run(TRIPLE, maker, scorer)
    more = FixedSearch(PairFilter(ALL), candidates=4, at_once=1).run(TRIPLE, maker, scorer)
    assert [p.draw for p in more.pairs[:3]] == [p.draw for p in few.pairs]
    for one, other in zip(few.pairs, more.pairs, strict=False):
        assert vars(one.scores) == pytest.approx(vars(other.scores), abs=1e-2)
    other_triple = EditTriple("other", TRIPLE.original_caption, "", TRIPLE.edited_caption)
    assert Ranges().draw(0, TRIPLE, 0) == few.pairs[0].draw
    assert len({Ranges().draw(seed, t, n) for seed in (0, 1) for t in (TRIPLE, other_triple) for n in (0, 1)}) == 8


def test_a_search_stops_when_it_has_enough(maker, scorer):
    search = AdaptiveSearch(PairFilter(ALL, keep=2), enough=3, seeds=3, shares=2, rounds=4, previews=())
    result = search.run(TRIPLE, maker, scorer)
    assert len(result.pairs) == 6
    assert result.calls == maker.calls < 6 * 4 * STEPS  # a seed's candidates share their original
    assert len(result.kept) == 2
    assert len({pair.draw.seed for pair in result.kept}) == 2
    assert result.reasons["duplicate"] == 3
    (first,) = {p.draw.guidance_scale for p in result.pairs if p.draw.seed == result.pairs[0].draw.seed}
    assert first == result.pairs[0].draw.guidance_scale


def test_a_search_that_finds_nothing_ends(maker, scorer):
    search = AdaptiveSearch(PairFilter(NONE), enough=1, seeds=1, shares=2, rounds=2, previews=())
    result = search.run(TRIPLE, maker, scorer)
    assert result.reasons == Counter({"image": 4})
    assert not result.kept
    assert len(result.finished) == 4


def test_seeds_that_promise_little_are_given_up(maker, scorer):
    search = AdaptiveSearch(PairFilter(ALL), enough=1, seeds=4, shares=2, rounds=1, previews=((0.4, 0.5),))
    result = search.run(TRIPLE, maker, scorer)
    given_up = [pair for pair in result.pairs if pair.reason == "preview"]
    assert len({pair.draw.seed for pair in given_up}) == 2
    assert len(given_up) == 4
    assert all(pair.scores and not pair.finished for pair in given_up)
    assert len(result.finished) == 4
    whole = AdaptiveSearch(PairFilter(ALL), enough=1, seeds=4, shares=2, rounds=1, previews=())
    assert result.calls < whole.run(TRIPLE, maker, scorer).calls


def test_the_same_search_twice(pipeline, scorer):
    search = AdaptiveSearch(PairFilter(ALL, keep=2), enough=4, seeds=2, shares=2, rounds=2, previews=((0.5, 0.5),))
    first, again = (search.run(TRIPLE, PromptToPromptMaker(pipeline, steps=3, batch_size=16), scorer) for _ in range(2))
    assert rows(first.pairs) == rows(again.pairs)
    assert first.calls == again.calls


@pytest.mark.parametrize("search", [FixedSearch(candidates=2), AdaptiveSearch(seeds=1, shares=2, rounds=1)])
def test_a_pipeline_that_returns_nothing_useful(scorer, search):
    """Every candidate is told with its reason, and nothing is kept."""
    pipeline = tiny_pipeline()
    pipeline.unet.conv_out.bias.data.fill_(float("nan"))
    result = search.run(TRIPLE, PromptToPromptMaker(pipeline, steps=2), scorer)
    assert result.reasons == Counter({"not finite": 2})
    assert not result.finished
    assert not result.kept


def accepted(*candidates: Draw) -> list[Candidate]:
    return [Candidate(candidate) for candidate in candidates]


def test_draws_cover_the_range_until_something_is_accepted():
    proposal = Proposal(Ranges((0.1, 0.9), (2.0, 4.0)))
    shares = proposal.shares(8, Random(0))
    assert [int((share - 0.1) * 10) for share in shares] == list(range(8))
    proposal.follow([])
    assert [int((scale - 2.0) * 4) for scale in proposal.guidance_scales(8, Random(0))] == list(range(8))


def test_draws_are_near_the_best_of_what_was_accepted():
    proposal = Proposal(Ranges((0.1, 0.9), (2.0, 4.0)), elite=0.25, spread=0.02, everywhere=0.1)
    best = [Draw(seed, 0.3, 2.5) for seed in (1, 2)]
    proposal.follow(accepted(best[0], Draw(1, 0.8, 2.5), best[1], *(Draw(s, 0.7, 3.5) for s in range(3, 8))))
    assert proposal.best == best  # a quarter of the eight seeds, the best pair of each
    random = Random(0)
    shares = [share for _ in range(100) for share in proposal.shares(2, random)]
    scales = proposal.guidance_scales(100, random)
    assert 160 < sum(abs(share - 0.3) < 0.06 for share in shares) < 200  # the others explore
    assert 80 < sum(abs(scale - 2.5) < 0.15 for scale in scales) < 100
    assert min(shares) >= 0.1
    assert max(shares) <= 0.9


def test_later_rounds_follow_the_first(maker, scorer):
    search = AdaptiveSearch(PairFilter(ALL, keep=2), enough=8, seeds=4, shares=1, rounds=2, previews=())
    result = search.run(TRIPLE, maker, scorer)
    first, second = result.pairs[:4], result.pairs[4:]
    best = max(first, key=lambda pair: pair.scores.direction).draw
    near = [abs(pair.draw.guidance_scale - best.guidance_scale) < 0.25 * 7.5 for pair in second]
    assert sum(near) >= 3
    assert [p.draw.seed for p in result.pairs] == [Ranges().draw(0, TRIPLE, n).seed for n in range(8)]
    assert [int((p.draw.guidance_scale - 7.5) / 7.5 * 4) for p in first] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FixedSearch(candidates=0), "candidates=0"),
        (lambda: AdaptiveSearch(seeds=0), "seeds=0"),
        (lambda: AdaptiveSearch(previews=((0.5, 0.0),)), r"previews=\[\[0\.5, 0\.0\]\]"),
        (lambda: AdaptiveSearch(previews=((1.0, 0.5),)), r"previews=\[\[1\.0, 0\.5\]\]"),
    ],
)
def test_settings_that_cannot_work(build, message):
    with pytest.raises(ValueError, match=message):
        build()
