"""The open level: scenes of emoji, where words leave things open and every right answer can be drawn.

Belongs here: kinds of things and their sprites, scenes and what is left open in them, drawing, edits, texts.
Does not belong here: datasets, models, metrics; drawn things of the other levels.
"""
