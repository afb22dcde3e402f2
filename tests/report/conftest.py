"""The evaluations of tests/evaluation, drawn here."""

from tests.evaluation.conftest import metrics, part_way, photo_result, scene_result, scenes

__all__ = ["metrics", "part_way", "photo_result", "scene_result", "scenes"]
