"""Parts of a training run that are no callbacks: whole checkpoints, Lightning's counts, signals, clocks, costs.

What watches a run belongs in `callbacks`, what starts its processes in `distributed`, what the loss needs in `methods`.
"""
