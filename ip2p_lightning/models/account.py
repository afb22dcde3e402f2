"""Account of a conversion: the fate of every tensor of the files, so that nothing is dropped or drawn in silence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from ip2p_lightning.models.folder_files import WeightsError


@dataclass
class Account:
    """Tensors of files that are converted, counted by what becomes of them.

    Args:
        source: file or folder, for messages.
        taken: part of the new model -> its tensors, each of which the files fill.
        left_out: reason -> number of tensors of the files that the new model has no use for.
        missing: tensors of the new model that the files do not hold.
        unexpected: tensors of the files that fit nowhere.
        reshaped: tensors of another shape than the new model's, with both shapes.
    """

    source: str
    taken: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    reshaped: list[str] = field(default_factory=list)

    def fill(self, part: str, own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
        """Count what `given` fills of a part's own tensors; what it lacks, or has too much of, is noted by name."""
        wrong = [name for name in own if name in given and given[name].shape != own[name].shape]
        self.missing += [f"{part}.{name}" for name in own if name not in given]
        self.unexpected += [f"{part}.{name}" for name in given if name not in own]
        self.reshaped += [
            f"{part}.{name} is {list(given[name].shape)}, the model needs {list(own[name].shape)}" for name in wrong
        ]
        self.taken[part] = sum(name in given for name in own) - len(wrong)

    def leave_out(self, reason: str, count: int) -> None:
        """Count tensors that the new model has no use for."""
        if count:
            self.left_out[reason] = self.left_out.get(reason, 0) + count

    def lines(self) -> Iterable[str]:
        """The account as lines of text: every problem by name."""
        for part, count in self.taken.items():
            yield f"{count:>7,}  {part}"
        for reason, count in self.left_out.items():
            yield f"{count:>7,}  left out: {reason}"
        for what in ("missing", "unexpected", "reshaped"):
            yield from (f"{what}: {name}" for name in getattr(self, what))

    def check(self) -> None:
        """Raise a WeightsError that counts the problems and names three of each kind, if there are any."""
        found = [
            f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if names[3:] else ''})"
            for what in ("missing", "unexpected", "reshaped")
            if (names := getattr(self, what))
        ]
        if found:
            raise WeightsError(
                f"{self.source}: not converted, since tensors would be lost or drawn at random: {'; '.join(found)}; "
                "dry_run=true lists them all"
            )
