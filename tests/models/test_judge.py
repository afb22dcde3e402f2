"""The judge: labels and readings are each other's inverse, absent attributes cost nothing, folders round-trip."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ip2p_lightning.models.judge import ABSENT, AttributeJudge
from ip2p_lightning.world.attributes import ATTRIBUTES

FEW = {"time": ("day", "night"), "left thing": ("nothing", "house"), "left colour": ("red", "blue", "white")}


@pytest.fixture
def judge() -> AttributeJudge:
    return AttributeJudge(FEW, size=16, widths=(8, 8, 8), hidden=8).eval()


def test_the_shipped_size_is_below_a_million_parameters():
    judge = AttributeJudge()
    assert 500_000 < sum(p.numel() for p in judge.parameters()) < 1_000_000
    assert judge(torch.zeros(1, 3, 64, 64)).shape == (1, sum(map(len, ATTRIBUTES.values())))


def test_labels_are_indices_and_absent_ones_say_so(judge: AttributeJudge):
    labels = judge.labels([{"time": "night", "left thing": "house", "left colour": "white"}, {"time": "day"}])
    assert labels.tolist() == [[1, 1, 2], [0, ABSENT, ABSENT]]


def test_a_value_that_it_does_not_know(judge: AttributeJudge):
    with pytest.raises(ValueError, match=r"'dawn' is not in list"):
        judge.labels([{"time": "dawn"}])


def test_the_loss_is_the_mean_cross_entropy_of_what_is_known(judge: AttributeJudge):
    logits = judge(torch.rand(2, 3, 16, 16))
    labels = torch.tensor([[1, 1, 2], [0, ABSENT, ABSENT]])
    parts = [(logits[0, :2], 1), (logits[1, :2], 0), (logits[0, 2:4], 1), (logits[0, 4:], 2)]
    expected = torch.stack([F.cross_entropy(row, torch.tensor(label)) for row, label in parts]).mean()
    torch.testing.assert_close(judge.loss(logits, labels), expected)
    assert judge.loss(logits, torch.full_like(labels, ABSENT)) == 0


def test_a_reading_says_nothing_of_what_is_not_there(judge: AttributeJudge):
    last = judge.answers[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0, 1, 1, 0, 0, 1, 0]))
        assert judge.read(torch.rand(2, 3, 16, 16)) == [{"time": "night", "left thing": "nothing"}] * 2
        last.bias.copy_(torch.tensor([0, 1, 0, 1, 0, 1, 0]))
    full = {"time": "night", "left thing": "house", "left colour": "blue"}
    assert judge.read(torch.rand(1, 3, 16, 16)) == [full]
    assert judge.labels([full]).tolist() == [[1, 1, 1]]


def test_pictures_of_other_sizes_are_resized(judge: AttributeJudge):
    assert judge(torch.rand(1, 3, 40, 24)).shape == (1, 7)
    with pytest.raises(ValueError, match="multiple of 16"):
        AttributeJudge(FEW, size=40)


def test_a_folder_brings_attributes_and_weights_back(judge: AttributeJudge, tmp_path):
    images = torch.rand(3, 3, 16, 16)
    judge.save_pretrained(tmp_path)
    again = AttributeJudge.from_pretrained(tmp_path)
    assert list(again.attributes.items()) == [(name, list(values)) for name, values in FEW.items()]  # the order, too
    torch.testing.assert_close(again(images), judge(images))


def test_half_precision_weights_load_as_full(judge: AttributeJudge, tmp_path):
    images = torch.rand(3, 3, 16, 16)
    expected = judge(images)
    judge.half().save_pretrained(tmp_path)
    again = AttributeJudge.from_pretrained(tmp_path, dtype=torch.float32)
    assert next(again.parameters()).dtype == torch.float32
    torch.testing.assert_close(again(images), expected, atol=5e-3, rtol=1e-2)


def test_what_flies_over_an_empty_place_is_read():
    attributes = {
        "left thing": ("nothing",),
        "left colour": ("red",),
        "left sky thing": ("kite",),
        "left sky colour": ("blue",),
    }
    judge = AttributeJudge(attributes, size=16, widths=(8, 8, 8), hidden=8)
    assert judge.read(torch.zeros(1, 3, 16, 16)) == [
        {"left thing": "nothing", "left sky thing": "kite", "left sky colour": "blue"}
    ]
