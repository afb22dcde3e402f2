"""Processes of a job: starting the ranks of a run, ending them, sharding its weights.

What they compute belongs to methods, what they read to data; nothing here knows a model or a data set.
"""
