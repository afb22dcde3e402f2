"""Right answers, the input copy and planted faults have the figures that they must have."""

from __future__ import annotations

from math import isnan

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.evaluation.distribution import OpenCase, score, score_all
from ip2p_lightning.metrics import right_answers
from ip2p_lightning.world.open.attributes import visible
from ip2p_lightning.world.open.edits import answers


def case_of(kind: str, index: int = 0) -> OpenCase:
    return OpenCase.draw(WorldSource(index + 1, level="open", kinds=[kind]).change(index)[1])


@pytest.fixture(scope="module")
def case() -> OpenCase:
    """An instruction that leaves several things open, in a scene that stays."""
    return case_of("vague")


@pytest.fixture(scope="module")
def truth(case: OpenCase) -> dict[str, float]:
    return score(case, more(case))


def more(case: OpenCase) -> Tensor:
    """Right answers that the case has not seen."""
    return OpenCase.draw(case.change, number=16, fresh=4, seed=7).answers


def blurred(images: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def test_the_truth_is_as_good_as_the_truth(truth: dict[str, float]) -> None:
    assert truth["kept"] == 0
    assert 0.7 < truth["nearest"] < 1.4
    assert 0.5 < truth["detail"] < 1.6
    assert truth["recall"] > 0.5
    assert truth["entropy: kind"] > 0.7


def test_a_copy_of_the_input_is_far_from_all_right_answers(case: OpenCase, truth: dict[str, float]) -> None:
    found = score(case, case.original.expand(8, -1, -1, -1))
    assert found["kept"] == 0
    assert found["nearest"] > truth["nearest"]
    assert found["recall"] == 0
    assert found["entropy: kind"] == 0


def test_blur_is_seen_in_detail_and_noise_in_speckle(case: OpenCase, truth: dict[str, float]) -> None:
    right = case.answers[:8]
    assert score(case, right)["speckle"] == 0
    soft = score(case, blurred(right))
    assert soft["detail"] < 0.6
    assert soft["kept"] > 0.5
    grain = torch.randn(right.shape, generator=torch.Generator().manual_seed(0)) * 0.2
    noisy = score(case, right + grain)
    assert noisy["detail"] > 1.3
    assert noisy["speckle"] > 0.5


def test_one_answer_always_has_no_entropy_and_little_recall(case: OpenCase, truth: dict[str, float]) -> None:
    found = score(case, more(case)[:1].expand(8, -1, -1, -1))
    assert all(found[f"entropy: {name}"] == 0 for name in ("kind", "sprite"))
    assert found["recall"] < 0.3 < truth["recall"]
    assert found["kept"] == 0


def test_what_was_not_asked_for_is_no_success(case: OpenCase) -> None:
    wrong = case_of("vague", index=1)
    assert wrong.change.instruction != case.change.instruction

    def reader(scenes: list) -> right_answers.Sequence[dict[str, str]]:
        return [visible(scene) for scene in scenes]

    right = score(case, case.answers[:8], judge=lambda images: reader(list(case.scenes[:8])))
    assert right["success"] == 1
    copied = score(case, case.answers[:8], judge=lambda images: reader([case.change.before] * 8))
    assert copied["success"] == 0
    other = score(case, case.answers[:8], judge=lambda images: reader(list(wrong.scenes[:8])))
    assert other["success"] == 0


def test_the_wrong_variant_is_farther_than_the_right_one() -> None:
    case = case_of("profession")
    kept = score(case, case.answers[:8])
    wrong = OpenCase.draw(WorldSource(8, level="open", kinds=["profession"]).change(7)[1]).answers[:8]
    assert score(case, wrong)["kept"] > kept["kept"] == 0
    assert isnan(kept["nearest"])  # nothing is open here


def test_edits_of_the_image_itself_are_refused() -> None:
    with pytest.raises(ValueError, match="leaves nothing open"):
        case_of("sepia")


def test_all_cases_and_too_few_images(case: OpenCase) -> None:
    assert len(score_all([case, case], more)) == 2
    with pytest.raises(ValueError, match="compare more than 3"):
        score(case, case.answers[:2])


def test_fresh_answers_are_others(case: OpenCase) -> None:
    assert answers(case.change, 5, 0) != answers(case.change, 5, 1)
