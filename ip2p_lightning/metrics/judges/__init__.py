"""Vision-language models that mark edits: the questions, how answers are read, and what answers them.

The metrics that are made of the marks belong one level up.
"""
