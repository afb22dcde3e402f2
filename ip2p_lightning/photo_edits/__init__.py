"""Operations on images, drawn or photographed: pure functions of PIL images, with their phrasings and their limits.

Drawn scenes belong in `world`; how pairs are read or written belongs in `data`.
"""
