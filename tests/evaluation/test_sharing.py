"""Two real processes give the rows of one, to the bit, and hear of each other's errors."""

from __future__ import annotations

from typing import Any

import pytest
from processes import on_ranks

from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.evaluation import EvaluationResult, evaluate
from ip2p_lightning.evaluation.evaluate import ExampleSelection
from ip2p_lightning.evaluation.sharing import Ranks


def test_alone() -> None:
    ranks = Ranks.current()
    assert ranks.share([1, 2, 3]) == [1, 2, 3]
    assert ranks.gather("all") == ["all"]
    assert ranks.first(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        ranks.first(lambda: 1 // 0)


@pytest.mark.parametrize("world", [2, 3])
def test_shares_are_disjoint_and_complete(world: int) -> None:
    shares = [Ranks(rank, world).share(list(range(7))) for rank in range(world)]
    assert sorted(item for share in shares for item in share) == list(range(7))


def test_two_processes_give_the_rows_of_one(part_way: Any, metrics: Any) -> None:
    source = WorldSource(13, size=32, split="test")  # five batches of three: uneven shares, a short last batch

    def work() -> tuple[list[int], EvaluationResult]:
        done: list[int] = []
        result = evaluate(
            part_way(source),
            source,
            metrics(),
            seeds=[2, 1],
            batch_size=3,
            kept=ExampleSelection(4, 3),
            on_progress=done.append,
        )
        return done, result

    _, alone = work()
    first, second = on_ranks(2, work)
    for _, shared in (first, second):
        assert shared.rows.equals(alone.rows)
        assert shared.summary()["figures"] == alone.summary()["figures"]
        assert shared.summary()["kinds"] == alone.summary()["kinds"]
        assert shared.provenance["processes"] == 2
        assert [example.pair for example in shared.examples] == [example.pair for example in alone.examples]
        for one, other in zip(shared.worst + shared.examples, alone.worst + alone.examples, strict=True):
            assert one.edited.tobytes() == other.edited.tobytes()
    assert sum(first[0]) + sum(second[0]) == 2 * 26  # each counts its own twice


def test_an_error_of_the_first_is_everybodys() -> None:
    def work() -> str:
        try:
            return Ranks.current().first(lambda: str(1 // 0))
        except ZeroDivisionError as error:
            return str(error)

    assert on_ranks(2, work) == ["integer division or modulo by zero"] * 2
