"""Sampling pairs of images that share noise and attention, many at once, without computing anything twice.

Two pairs of one seed and one guidance scale have the same original; with p1 < p2 their edited images are the same,
too, until p1 of the steps are over. So samples form a tree: one original and one edited image for each (seed,
guidance), which branches where a pair stops sharing attention. The images are those of pairs sampled one by one.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from ip2p_lightning.diffusion.prompt_to_prompt import AttentionPlan, CrossEdit, CrossEdits, PromptToPrompt


@dataclass(frozen=True)
class PairRequest:
    """One pair: its noise, its guidance, and the number of first steps in which it shares self-attention."""

    seed: int
    guidance_scale: float
    shared_steps: int


@dataclass
class _Branch:
    """One sample: an original (no members), or what the edited images of its members have in common so far."""

    group: int
    members: list[int]
    generator: torch.Generator

    @property
    def edited(self) -> bool:
        return bool(self.members)


class PairedSampling:
    """Pairs on their way from noise to latents; `advance` makes a step.

    Args:
        unet: the denoiser.
        scheduler: any diffusers scheduler whose steps look at the present sample alone; copied.
        states: [3, L, D] of the empty text, the original caption and the edited caption.
        requests: the pairs.
        shape: (C, h, w) of a latent.
        steps: denoising steps.
        batch_size: samples in one call of the denoiser, both halves of guidance counted.
        cross: edit of the cross-attention maps; None for none.
        largest_map: see `AttentionPlan`.

    Raises:
        ValueError: a scheduler with a memory, or a batch that has no room for a pair.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        scheduler: Any,
        states: Tensor,
        requests: Sequence[PairRequest],
        shape: tuple[int, int, int],
        steps: int,
        batch_size: int = 32,
        cross: CrossEdit | None = None,
        largest_map: int | None = None,
    ) -> None:
        check_scheduler(scheduler)
        if batch_size < 4:
            raise ValueError(f"batch_size={batch_size}: a guided pair is four samples of the denoiser; give it that")
        self.unet, self.states, self.requests = unet, states, requests
        self.scheduler = copy.deepcopy(scheduler)
        self.scheduler.set_timesteps(steps, device=states.device)
        self.steps = len(self.scheduler.timesteps)
        self.batch_size, self.cross, self.largest_map = batch_size, cross, largest_map
        self.index = 0
        self.calls = 0
        self.clean: Tensor | None = None
        groups: dict[tuple[int, float], list[int]] = {}
        for number, request in enumerate(requests):
            groups.setdefault((request.seed, request.guidance_scale), []).append(number)
        self.scales = torch.tensor([scale for _, scale in groups], device=states.device)
        self.branches, noise = [], []
        for group, ((seed, _), members) in enumerate(groups.items()):
            generator = torch.Generator().manual_seed(seed)
            noise += [randn_tensor((1, *shape), generator=generator, device=states.device, dtype=states.dtype)] * 2
            self.branches.append(_Branch(group, [], generator))
            self.branches.append(_Branch(group, members, generator.clone_state()))
        self.latents = torch.cat(noise) * getattr(self.scheduler, "init_noise_sigma", 1.0)
        self._takes_generator = "generator" in inspect.signature(self.scheduler.step).parameters

    @property
    def finished(self) -> bool:
        """True if the latents are clean."""
        return self.index == self.steps

    def rows(self) -> dict[int, tuple[int, int]]:
        """Pair -> rows of its original and its edited image in `latents` and `clean`."""
        originals = {branch.group: row for row, branch in enumerate(self.branches) if not branch.edited}
        return {
            member: (originals[branch.group], row)
            for row, branch in enumerate(self.branches)
            for member in branch.members
        }

    def drop(self, pairs: Iterable[int]) -> None:
        """Go on without some pairs, and without what only they needed."""
        gone = set(pairs)
        for branch in self.branches:
            left = [member for member in branch.members if member not in gone]
            if branch.edited and not left:
                branch.group = -1
            branch.members = left
        needed = {branch.group for branch in self.branches if branch.edited}
        self._select([row for row, branch in enumerate(self.branches) if branch.group in needed])

    @torch.no_grad()
    def advance(self, control: PromptToPrompt) -> None:
        """Make a step; `clean` then holds the present estimate of the final latents.

        Args:
            control: the UNet's attention, entered.
        """
        if not self.branches:
            self.index = self.steps
            return
        # IP2P section 3.1.2: both images of a pair begin from the same noise; the edited one takes the original's
        # attention in the first p of the steps. So rows that do not differ yet are one row, and split (`_fork`) when
        # p is over.
        self._fork()
        t = self.scheduler.timesteps[self.index]
        noisy = self.latents
        if hasattr(self.scheduler, "scale_model_input"):
            noisy = self.scheduler.scale_model_input(noisy, t)
        prediction = torch.empty_like(noisy)
        for rows, leaders in self._calls():
            prediction[rows] = self._predict(control, noisy[rows], t, rows, leaders).type(prediction.dtype)
        extra = {"generator": [branch.generator for branch in self.branches]} if self._takes_generator else {}
        stepped = self.scheduler.step(prediction, t, self.latents, **extra)
        self.latents = stepped.prev_sample
        self.clean = getattr(stepped, "pred_original_sample", None)
        self.index += 1

    def _fork(self) -> None:
        """Give pairs that stop sharing self-attention at this step a sample of their own."""
        sources = list(range(len(self.branches)))
        for row, branch in enumerate(list(self.branches)):
            leaving = [m for m in branch.members if self.requests[m].shared_steps <= self.index]
            if leaving and len(leaving) < len(branch.members):
                branch.members = [m for m in branch.members if m not in leaving]
                self.branches.append(_Branch(branch.group, leaving, branch.generator.clone_state()))
                sources.append(row)
        self.latents = self.latents[sources]

    def _select(self, rows: list[int]) -> None:
        self.branches = [self.branches[row] for row in rows]
        self.latents = self.latents[rows]
        self.clean = None if self.clean is None else self.clean[rows]

    def _shares(self, branch: _Branch) -> bool:
        return branch.edited and self.requests[branch.members[0]].shared_steps > self.index

    def _calls(self) -> Iterator[tuple[list[int], list[int]]]:
        """Rows of each call of the denoiser, and for each the place in the call of the original that it follows."""
        # A follower must be in the call of the original whose attention it takes: a unit is an original with its tied
        # rows. Units are packed into calls, the largest first, as far as the batch has room.
        crossing = self.cross is not None and self.cross.active(self.index, self.steps)
        room = self.batch_size // (2 if self._guided else 1)
        units: list[tuple[int, list[int]]] = []
        for row, branch in enumerate(self.branches):
            if branch.edited:
                continue
            edited = [r for r, other in enumerate(self.branches) if other.edited and other.group == branch.group]
            tied = [r for r in edited if crossing or self._shares(self.branches[r])]
            units += [(row, tied[start : start + room - 1]) for start in range(0, max(1, len(tied)), room - 1)]
            units += [(r, []) for r in edited if r not in tied]
        rows: list[int] = []
        leaders: list[int] = []
        for first, followers in sorted(units, key=lambda unit: -len(unit[1])):
            if len(rows) + 1 + len(followers) > room:
                yield rows, leaders
                rows, leaders = [], []
            leaders += [len(rows)] * (1 + len(followers))
            rows += [first, *followers]
        yield rows, leaders

    @property
    def _guided(self) -> bool:
        return bool((self.scales != 1).any())

    def _predict(
        self, control: PromptToPrompt, noisy: Tensor, t: Tensor, rows: list[int], leaders: list[int]
    ) -> Tensor:
        branches = [self.branches[row] for row in rows]
        count, halves = len(rows), 2 if self._guided else 1
        sharing = [lead if self._shares(b) else i for i, (b, lead) in enumerate(zip(branches, leaders, strict=True))]
        device = noisy.device
        cross = None
        followers = [i for i, lead in enumerate(leaders) if lead != i]
        if self.cross is not None and followers and self.cross.active(self.index, self.steps):
            offset = count * (halves - 1)  # the half that reads the captions
            mapper, own = self.cross.at(self.index, self.steps)
            cross = CrossEdits(
                torch.tensor([i + offset for i in followers], device=device),
                torch.tensor([leaders[i] + offset for i in followers], device=device),
                mapper.expand(len(followers), -1, -1).to(device),
                own.expand(len(followers), -1).to(device),
            )
        shared = [i + half * count for half in range(halves) for i in sharing]
        self_rows = None if sharing == list(range(count)) else torch.tensor(shared, device=device)
        control.plan = AttentionPlan(self_rows, cross, self.largest_map)
        texts = [0] * (count * (halves - 1)) + [2 if branch.edited else 1 for branch in branches]
        output = self.unet(torch.cat([noisy] * halves), t, encoder_hidden_states=self.states[texts], return_dict=False)[
            0
        ]
        self.calls += halves * count
        if halves == 1:
            return output
        null, told = output.chunk(2)
        scale = self.scales[[branch.group for branch in branches]].to(output.dtype)[:, None, None, None]
        return null + scale * (told - null)


def check_scheduler(scheduler: Any) -> None:
    """Samples come and go while they are sampled, which a scheduler with a memory of them cannot follow.

    Raises:
        ValueError: naming such a scheduler, and others.
    """
    memory = any(hasattr(scheduler, name) for name in ("model_outputs", "ets", "derivatives"))
    if memory or getattr(scheduler, "order", 1) != 1:
        raise ValueError(
            f"{type(scheduler).__name__} remembers earlier steps; pairs are sampled with one that does not, such as "
            "EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, DDIMScheduler or DDPMScheduler"
        )
