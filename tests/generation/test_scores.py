"""Scores are those of InstructPix2Pix's `ClipSimilarity`, whoever shares a batch."""

from __future__ import annotations

import open_clip
import pytest
import torch
import torch.nn.functional as F
from generation.pairs_factory import TRIPLE

from ip2p_lightning.generation.base import Candidate, Draw
from ip2p_lightning.generation.scores import ClipScorer
from ip2p_lightning.metrics.encoders import OpenClipEncoder
from ip2p_lightning.models.dual_encoder import DualEncoder
from ip2p_lightning.world.tokenizer import world_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    encoder = DualEncoder(
        world_tokenizer(), embed_dim=8, image_size=16, patch_size=8, width=16, layers=1, head_width=8,
        text_width=16, text_layers=1, text_heads=2, context_length=24,
    )  # fmt: skip
    return encoder.save(tmp_path_factory.mktemp("clip"), torch.float32)


@pytest.fixture(scope="module")
def scorer(folder) -> ClipScorer:
    return ClipScorer(OpenClipEncoder.from_pretrained(f"local-dir:{folder}", preparation="interpolated"))


def pairs(count: int = 3, size: int = 40) -> list[Candidate]:
    images = torch.rand(count, 2, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return [Candidate(Draw(seed, 0.5, 7.5), *both) for seed, both in enumerate(images)]


def transcription(folder, size: int, mean: list[float], std: list[float]):
    """`clip_similarity.py` of InstructPix2Pix, line by line, for pictures on [0, 1]."""
    name = f"local-dir:{folder}"
    model = open_clip.create_model(name).eval()
    tokenizer = open_clip.get_tokenizer(name)

    def encode_text(text):
        features = model.encode_text(tokenizer(text))
        return features / features.norm(dim=1, keepdim=True)

    def encode_image(image):
        image = F.interpolate(image.float(), size=size, mode="bicubic", align_corners=False)
        image = (image - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
        features = model.encode_image(image)
        return features / features.norm(dim=1, keepdim=True)

    def forward(image_0, image_1, text_0, text_1):
        image_0, image_1 = encode_image(image_0), encode_image(image_1)
        text_0, text_1 = encode_text(text_0), encode_text(text_1)
        sim_0 = F.cosine_similarity(image_0, text_0)
        sim_1 = F.cosine_similarity(image_1, text_1)
        sim_direction = F.cosine_similarity(image_1 - image_0, text_1 - text_0)
        sim_image = F.cosine_similarity(image_0, image_1)
        return sim_0, sim_1, sim_direction, sim_image

    return forward


@torch.no_grad()
def test_scores_are_those_of_the_reference(folder, scorer):
    reference = transcription(folder, 16, [0.5] * 3, [0.5] * 3)
    for pair, found in zip(pairs(), scorer.score(TRIPLE, pairs()), strict=True):
        images = ((image[None] + 1) / 2 for image in (pair.original_image, pair.edited_image))
        wanted = reference(*images, [TRIPLE.original_caption], [TRIPLE.edited_caption])
        told = (found.original_text, found.edited_text, found.direction, found.image)
        assert told == pytest.approx([float(value) for value in wanted], abs=1e-5)
        assert abs(found.direction) > 1e-3


def test_scores_do_not_depend_on_the_batch(scorer):
    made = pairs(5)
    together = scorer.score(TRIPLE, made)
    small = ClipScorer(scorer.encoder, batch_size=3)
    for number, pair in enumerate(made):
        (alone,) = small.score(TRIPLE, [pair])
        assert vars(alone) == pytest.approx(vars(together[number]), abs=1e-5)
    again = [vars(row) for row in small.score(TRIPLE, made)]
    assert again == [pytest.approx(vars(row), abs=1e-5) for row in together]


def test_pictures_that_pairs_share_are_looked_at_once(scorer, monkeypatch):
    first, second = pairs(2)
    shared = Candidate(second.draw, first.original_image, second.edited_image)
    seen: list[int] = []
    pictures = scorer.encoder.pictures
    monkeypatch.setattr(scorer.encoder, "pictures", lambda images: seen.append(len(images)) or pictures(images))
    rows = scorer.score(TRIPLE, [first, shared])
    assert seen == [3]
    assert rows[0].original_text == pytest.approx(rows[1].original_text)
    assert rows[0].edited_text != pytest.approx(rows[1].edited_text)


def test_a_pair_that_changes_nothing(scorer):
    (pair,) = pairs(1)
    (row,) = scorer.score(TRIPLE, [Candidate(pair.draw, pair.original_image, pair.original_image.clone())])
    assert row.image == pytest.approx(1, abs=1e-5)
    assert row.direction == pytest.approx(0, abs=1e-5)


def test_nothing_to_score(scorer):
    assert scorer.score(TRIPLE, []) == []
    assert scorer.name.startswith("local-dir:")
    with pytest.raises(ValueError, match="batch_size=0"):
        ClipScorer(scorer.encoder, 0)
