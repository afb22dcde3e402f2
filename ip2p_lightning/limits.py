"""Limits of what a file or a server may state, checked before memory or time is spent on it.

Each is a constant of this module, is looked at where the statement is read (`LIMIT.check(stated, "shard-3.tar")`), and
is set by the environment variable `IP2P_LIMIT_<NAME>`, for files that are meant to be larger. `docs/limits.md` lists
them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass


class LimitError(ValueError):
    """A file or a server states, or holds, more than the limit; the message names it, the limit and its variable."""


@dataclass(frozen=True)
class Limit:
    """One limit.

    Args:
        name: as in the name of its constant and of its environment variable.
        default: largest number that is allowed.
        what: what is counted, in words that follow a number: "bytes of a tar member".
    """

    name: str
    default: int
    what: str

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"IP2P_LIMIT_{self.name}"

    @property
    def value(self) -> int:
        """The limit in effect.

        Raises:
            ValueError: an environment variable that is no whole number above 0.
        """
        text = os.environ.get(self.variable, "").replace("_", "").strip()
        if not text:
            return self.default
        if not text.isdecimal() or not text.isascii() or not 0 < len(text) < 20 or int(text) == 0:
            raise ValueError(f"{self.variable}={text[:40]}: give a whole number above 0 ({self.what})")
        return int(text)

    def check(self, stated: int, origin: object) -> int:
        """`stated`, if the limit allows it.

        Args:
            stated: what the file or the server says, or what was counted so far.
            origin: names the file, and the place in it.

        Raises:
            LimitError: more than the limit.
        """
        if stated > (allowed := self.value):
            number = f"{stated:,}" if stated < 10**18 else "too many"
            raise LimitError(
                f"{origin}: {number} {self.what}, more than the limit of {allowed:,}; if that is meant to be, set "
                f"{self.variable}={stated if stated < 10**18 else 10 * allowed}"
            )
        return stated


# Checkpoints, stored configurations and the folders of pipelines
STORED_VALUES = Limit("STORED_VALUES", 20_000, "values in a stored configuration")
STORED_DEPTH = Limit("STORED_DEPTH", 40, "levels in a stored configuration")
JSON_BYTES = Limit("JSON_BYTES", 16 * 2**20, "bytes of a JSON file of a model folder")
JSON_DEPTH = Limit("JSON_DEPTH", 40, "levels in a JSON file of a model folder")
TOKENIZER_BYTES = Limit("TOKENIZER_BYTES", 128 * 2**20, "bytes of a tokenizer's file")
COUNTS = Limit("COUNTS", 100_000, "layers, heads, groups or labels of a network")
SIDES = Limit("SIDES", 16_384, "pixels or cells of a side that a network is built for")
PICKLE_BYTES = Limit("PICKLE_BYTES", 256 * 2**20, "bytes of a checkpoint's values besides its weights")
TIMESTEPS = Limit("TIMESTEPS", 10_000, "steps of a noise schedule or a sampler")
TEXT_TOKENS = Limit("TEXT_TOKENS", 131_072, "tokens of a text")
PADDED_TOKENS = Limit("PADDED_TOKENS", 4_096, "tokens that each text is padded to")
VISUAL_TOKENS = Limit("VISUAL_TOKENS", 4_096, "[IMG] tokens")

# Servers of language models, and tables that people send back
SERVER_ANSWER = Limit("SERVER_ANSWER", 2**20, "bytes of a server's answer")
CSV_BYTES = Limit("CSV_BYTES", 10 * 2**20, "bytes of a table of answers or choices")
AUDIT_CELLS = Limit("AUDIT_CELLS", 100_000, "prompts of an audit's grid")

# Conversations that were saved
CONVERSATION_TURNS = Limit("CONVERSATION_TURNS", 2_000, "turns of a conversation")
CONVERSATION_PIXELS = Limit("CONVERSATION_PIXELS", 500_000_000, "pixels of a conversation's images together")

# What clients of the service send
SERVED_BYTES = Limit("SERVED_BYTES", 64 * 2**20, "bytes of a request to the service")
SERVED_PIXELS = Limit("SERVED_PIXELS", 40_000_000, "pixels of an image that a client sends or asks for")
SERVED_STEPS = Limit("SERVED_STEPS", 200, "sampling steps of a request to the service")
PROMPT_CHARACTERS = Limit("PROMPT_CHARACTERS", 32_000, "characters of a prompt")

# Datasets, tables, tars, captions and whatever else pairs come from
TAR_HEADER_BYTES = Limit("TAR_HEADER_BYTES", 2**20, "bytes of an extended header (pax, GNU long name) of a tar")
IMAGE_BYTES = Limit("IMAGE_BYTES", 256 * 2**20, "bytes of an image file")
ROW_BYTES = Limit("ROW_BYTES", 4 * 2**20, "bytes of a row of JSON or of a text file of a pair")
LISTING_BYTES = Limit("LISTING_BYTES", 256 * 2**20, "bytes of a JSON file that lists pairs or shards")
MEMBER_BYTES = Limit("MEMBER_BYTES", 16 * 2**20, "bytes of the JSON member of a pair in a shard")
DATA_DEPTH = Limit("DATA_DEPTH", 64, "levels of JSON in a dataset")
TEXT_CHARACTERS = Limit("TEXT_CHARACTERS", 200_000, "characters of a text of a pair")
SCORES = Limit("SCORES", 100, "scores of a pair")
INDEX_TEXT_BYTES = Limit("INDEX_TEXT_BYTES", 256 * 2**20, "bytes of a text column in 65,536 rows of an index")


def all_limits() -> list[Limit]:
    """Every limit of this module, in the order in which it stands there."""
    return [value for value in globals().values() if isinstance(value, Limit)]
