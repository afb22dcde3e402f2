"""MGIE's four tasks: its paper measures on EVR, GIER, MA5k and MagicBrush; the world has kinds of edit like theirs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One of the four.

    Args:
        like: the paper's set.
        title: what tables call ours.
        data: the config group's option whose pairs are like it: "world" or "photos".
        kinds: the kinds of edit.
        split: from which it is measured.
        folders: of the paper's own pairs at size paper: one for each official split, as docs/evaluation.md makes them.
    """

    like: str
    title: str
    data: str
    kinds: tuple[str, ...]
    split: str
    folders: tuple[str, ...]

    def measured(self, size: str) -> list[str]:
        """Overrides of `ip2p evaluate` that take this task's held-out pairs."""
        if size == "paper":
            square = "data.transform.fit=centre_crop"  # MGIE's (demo.ipynb, crop_resize)
            return ["data=shards", f"data.path={self._path}", "split=test", "count=null", square]
        kinds = f"data.{self.split}.kinds=[{','.join(self.kinds)}]"
        if size == "tiny":
            small = [f"data.{self.split}.count=4", "data.train.size=32"]
            return [f"data={self.data}", *small, kinds, f"split={self.split}"]
        return [f"data={self.data}", f"data.{self.split}.count=192", kinds, f"split={self.split}"]

    def trained(self, size: str) -> list[str]:
        """Overrides of `ip2p train` that take this task's training pairs."""
        if size == "paper":
            return [f"data.path={self._path}"]
        small = ["data.train.count=32", "data.train.size=32", "data.batch_size=4", "data.validation.count=4"]
        return [f"data={self.data}", f"data.train.kinds=[{','.join(self.kinds)}]", *(small if size == "tiny" else [])]

    @property
    def _path(self) -> str:
        return self.folders[0] if len(self.folders) == 1 else f"[{','.join(self.folders)}]"


def _splits(folder: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{split}" for split in ("train", "validation", "test"))


TASKS = (
    Task("EVR", "objects", "world", ("replace", "add", "remove", "recolour"), "validation", _splits("data/evr")),
    Task(
        "GIER",
        "operations",
        "photos",
        ("black_and_white", "sepia", "sketch", "mosaic", "blur"),
        "test",
        _splits("data/gier"),
    ),
    Task("MA5k", "retouching", "photos", ("brightness", "contrast", "saturation"), "test", _splits("data/ma5k")),
    Task(
        "MagicBrush",
        "mixed",
        "world",
        ("replace", "add", "remove", "recolour", "background", "season", "time"),
        "test",
        _splits("data/magicbrush"),
    ),
)
"""Objects in scenes (EVR); operations on photographs (GIER); their light and colour (MA5k); everything, in combinations
that training never shows (MagicBrush)."""


def tasks(size: str) -> tuple[Task, ...]:
    """All four; at size tiny one of scenes and one of photographs."""
    return TASKS[:2] if size == "tiny" else TASKS


GENERAL = {"tiny": ("data=world_tiny",), "world": ("data=world_tasks",), "paper": ()}
"""Overrides of `ip2p train` for the general pairs, MGIE's IPr2Pr: by size."""
