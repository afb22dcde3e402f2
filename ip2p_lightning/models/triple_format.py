r"""Prompt and completion format of language models that write edits (InstructPix2Pix section 3.1.1).

A record is `{caption}\n##\n{instruction}\n%%\n{edited caption}\nEND`. A model is given its first two lines and
writes the rest; GPT-3 was fine-tuned on 700 such records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ASK, THEN, END = "\n##\n", "\n%%\n", "\nEND"
"""Separators of caption and instruction, of instruction and edited caption, and the end."""


@dataclass(frozen=True)
class EditRecord:
    """A caption, an edit of it in words, and what the edited image shows; a line each."""

    caption: str
    instruction: str
    edited_caption: str


class FormatError(ValueError):
    """A completion that is no edit.

    Args:
        reason: "unparsable", "empty" or "too_long".
        detail: what is wrong with it.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


EXAMPLES = (
    EditRecord("a horse standing on a green field", "make it winter", "a horse standing on a snowy field"),
    EditRecord("portrait of an old man in a hat", "give him glasses", "portrait of an old man in a hat and glasses"),
    EditRecord("Blue car parked in front of a shop.", "turn the car red", "Red car parked in front of a shop."),
    EditRecord("two cups of coffee on a wooden table", "swap the coffee for tea", "two cups of tea on a wooden table"),
    EditRecord("A view of the harbour at noon", "as if it were midnight", "A view of the harbour at midnight"),
    EditRecord(
        "a photo of a lighthouse by the sea", "make it an oil painting", "an oil painting of a lighthouse by the sea"
    ),
)
"""Shown to models that were not tuned."""


def one_line(text: str) -> str:
    """The text with each run of white space as one space: no caption can then pass for a separator."""
    return " ".join(text.split())


def prompt(caption: str) -> str:
    """Prompt for a tuned model."""
    return one_line(caption) + ASK


def completion(instruction: str, edited_caption: str) -> str:
    """Completion that a model is trained to write after the prompt."""
    return one_line(instruction) + THEN + one_line(edited_caption) + END


def few_shot_prompt(caption: str, examples: Sequence[EditRecord] = EXAMPLES) -> str:
    """Prompt for an untuned model: whole records, then the prompt."""
    return shown(examples) + prompt(caption)


def shown(examples: Sequence[EditRecord]) -> str:
    """Whole records, a blank line after each."""
    return "".join(
        f"{prompt(record.caption)}{completion(record.instruction, record.edited_caption)}\n\n" for record in examples
    )


def parse(text: str) -> tuple[str, str]:
    """Instruction and edited caption of a completion; what follows its end is not looked at.

    Args:
        text: what a model wrote after the prompt, with the end if it came to one.

    Raises:
        FormatError: "too_long" without an end, "empty" where a part is, "unparsable" for anything else that is not
            two lines around one separator.
    """
    body, end, _ = text.partition(END)
    if not end:
        raise FormatError("too_long", f"no end in {text!r}")
    parts = f"\n{body}\n".split(THEN)
    if len(parts) != 2:
        raise FormatError("unparsable", f"{len(parts) - 1} separators instead of one in {body!r}")
    instruction, edited_caption = (part.strip() for part in parts)
    if not instruction or not edited_caption:
        raise FormatError("empty", f"nothing {'after' if instruction else 'before'} the separator in {body!r}")
    if len(f"{instruction}{edited_caption}".splitlines()) != 1 or not f"{instruction}{edited_caption}".isprintable():
        raise FormatError("unparsable", f"more than a line each in {body!r}")
    return one_line(instruction), one_line(edited_caption)
