"""Faults of edit pairs, in texts, in one pair's images and between pairs; and what training does to each.

One file a family of checks. What is drawn, corrected or trained belongs elsewhere.
"""
