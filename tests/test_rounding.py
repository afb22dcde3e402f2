"""What hangs on a difference of the size of rounding: no quotient, no direction, no verdict."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ip2p_lightning.rounding import difference, direction_cosine, ratio

pytestmark = pytest.mark.numeric


def test_numbers_that_differ_by_an_ulp_do_not_differ() -> None:
    for value in (1.0, 255.0, 1e-30, -3.5):
        assert difference(np.nextafter(value, math.inf), value) == 0
        assert difference(float(np.nextafter(np.float32(value), np.float32(math.inf))), value) == 0
        assert difference(value * 1.001, value) == pytest.approx(value * 0.001)
    assert difference(0.0, 0.0) == 0
    assert difference(1e-30, 0.0) == 1e-30, "beside nothing, a small number is all there is"
    both = difference(np.array([1.0, math.nan, 2.0]), np.array([1.0 + 1e-12, 1.0, 1.0]))
    assert both[0] == 0
    assert math.isnan(both[1])
    assert both[2] == 1


def test_a_ratio_to_rounding_is_not_known() -> None:
    values = ratio(torch.tensor([1.0, 1.0, 1.0]), torch.tensor([2.0, 1e-7, 0.0]), least=1e-6)
    assert values[0] == 0.5
    assert values[1:].isnan().all()
    assert ratio(torch.tensor(1.0), torch.tensor(1e-7), 1e-6, otherwise=0.0) == 0


def test_rounding_has_no_direction() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(4, 512), dim=1)
    same = torch.nextafter(vectors, torch.tensor(math.inf))
    change = torch.randn(4, 512)
    assert (direction_cosine(same - vectors, change) == 0).all()
    assert (direction_cosine(change, same - vectors) == 0).all()
    torch.testing.assert_close(direction_cosine(change, change), torch.ones(4))
