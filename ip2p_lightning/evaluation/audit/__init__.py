"""The audit of bias: counterfactual grids, what a classifier sees in the images, and tests with corrected p-values.

Belongs here: grids, classifiers' protocol, measures, findings.
Does not belong here: making images (``evaluation.prompts``, ``editors``), pages (``report``).
"""
