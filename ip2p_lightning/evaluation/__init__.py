"""Running editors over held-out pairs, and what is made of it: tables with intervals, image grids, the report.

What one edit is measured by belongs in `metrics`; how a model edits belongs in `editors`.
"""

from ip2p_lightning.evaluation.evaluate import evaluate
from ip2p_lightning.evaluation.result import EvaluationResult, Example

__all__ = ["EvaluationResult", "Example", "evaluate"]
