"""Fuzzers, one a reader of files that came from elsewhere.

`python -m tests.fuzz READER --seconds 120` runs one for longer than the suite does.
A reader is one entry of `readers.py`: how its inputs are made, how they are read, and which errors are answers.
`test_fuzz.py` runs each of them for a few examples.
"""
