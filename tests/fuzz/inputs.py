"""Ways to make inputs of sound files."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One of the files with some of its bytes changed, cut out, repeated or appended."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 8))):
        place = draw(st.integers(0, len(data)))
        piece = draw(st.binary(max_size=8))
        how = draw(st.sampled_from(("over", "in", "cut")))
        if how == "over":
            data[place : place + len(piece)] = piece
        elif how == "in":
            data[place:place] = piece
        else:
            del data[place : place + draw(st.integers(1, 64))]
    return bytes(data)
