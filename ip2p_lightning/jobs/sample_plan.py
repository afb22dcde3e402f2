"""Plan of `ip2p sample`: images, their prompts and seeds, and their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ip2p_lightning.data.saving import format_of

LONGEST = 2000
"""Characters of a prompt beyond which it is a page, not a prompt."""


@dataclass(frozen=True)
class Sample:
    """One image to be made.

    Args:
        prompt: what to show.
        seed: of its noise.
        output: file of the last stage's image.
    """

    prompt: str
    seed: int
    output: Path

    def of_stage(self, name: str, last: str) -> Path:
        """The file of a stage's image."""
        return self.output if name == last else self.output.with_name(f"{self.output.stem}-{name}{self.output.suffix}")


def plan(
    prompts: Sequence[str],
    seeds: Sequence[int],
    output: Path,
    overwrite: bool | Literal["skip"],
    stages: Sequence[str],
) -> list[Sample]:
    """The images to be made, each into a file of its own.

    Args:
        prompts: texts.
        seeds: every prompt is sampled under each of them.
        output: a file where there is one image, else a folder, in which images are numbered.
        overwrite: True replaces files that are there, "skip" leaves out images whose files all are.
        stages: whose images are written, the last one last.

    Raises:
        ValueError: an empty or endless prompt, a file name for several images, or files that are in the way.
    """
    for prompt in prompts:
        if not prompt.strip():
            raise ValueError("a prompt is empty; say what to show")
        if len(prompt) > LONGEST:
            raise ValueError(f"a prompt has {len(prompt):,} characters, more than {LONGEST:,}: {prompt[:60]!r} ...")
    pairs = [(prompt, seed) for prompt in prompts for seed in seeds]
    if output.suffix:
        format_of(output)  # says what is wrong with an ending
        if len(pairs) > 1:
            raise ValueError(f"output={output} is one image; name a folder for {len(pairs)}")
        files = [output]
    else:
        digits = max(4, len(str(len(prompts))))
        several = len(seeds) > 1
        files = [
            output / (f"{number:0{digits}d}" + (f"-seed{seed}" if several else "") + ".png")
            for number in range(len(prompts))
            for seed in seeds
        ]
    jobs = [Sample(prompt, seed, file) for (prompt, seed), file in zip(pairs, files, strict=True)]
    there = [[job.of_stage(name, stages[-1]).exists() for name in stages] for job in jobs]
    if overwrite == "skip":
        return [job for job, found in zip(jobs, there, strict=True) if not all(found)]
    blocked = next((job for job, found in zip(jobs, there, strict=True) if any(found)), None)
    if blocked is not None and not overwrite:
        raise ValueError(
            f"{blocked.output} exists already (or an image of an earlier stage); choose another output, overwrite=skip "
            "to make the images that are missing, or overwrite=true"
        )
    return jobs
