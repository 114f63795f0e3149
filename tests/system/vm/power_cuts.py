"""When the power is cut: moments drawn from a seed. Pure: the same seed and count give the same cuts."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, get_args

# What the machine is at when its power goes; each begins where the one before has ended.
Phase = Literal["stage", "activate", "trial", "commit", "rollback"]
PHASES: tuple[Phase, ...] = get_args(Phase)

# Where a phase begins: a state of the device, saved once with its memory.
Start = Literal["fresh", "staged", "trial", "smoked", "committed"]
STARTS: dict[Phase, tuple[Start, ...]] = {
    "stage": ("fresh",),
    "activate": ("staged",),
    "trial": ("trial",),
    "commit": ("smoked",),
    "rollback": ("committed", "trial"),  # in turns: of a release that was kept, and of one on trial
}
# These go on after their verb has answered: a trial soaks.
SOAKS: tuple[Phase, ...] = ("trial",)
LONGEST_PAUSE_SECONDS = 0.3


@dataclass(frozen=True)
class Cut:
    """One power cut.

    Attributes:
        number: 1, 2, 3…
        fraction: of the phase's disk operations, after which the power goes. Not of its time, which on a
            busy host says little; the disk's work is the same each time, and between two of its operations
            nothing can go wrong that does not go wrong at one of them.
        pause: seconds after that operation.
    """

    number: int
    phase: Phase
    start: Start
    fraction: float
    pause: float

    def name(self, seed: int) -> str:
        """Names its test, such as ``cut 17: activate at 43 % [seed 12345]``."""
        return f"cut {self.number}: {self.phase} from {self.start} at {self.fraction:.0%} [seed {seed}]"


def draw(seed: int, count: int) -> list[Cut]:
    """``count`` cuts, the phases in turns.

    Each phase is divided into as many parts as it has cuts, and one falls somewhere in each part.
    """
    chance = random.Random(seed)  # noqa: S311 - to be drawn again, not to be secret
    cuts = []
    for number in range(count):
        turn, place = divmod(number, len(PHASES))
        phase = PHASES[place]
        parts = (count - place + len(PHASES) - 1) // len(PHASES)
        starts = STARTS[phase]
        fraction = (_scattered(turn, parts) + chance.random()) / parts
        pause = chance.choice((0.0, chance.uniform(0, LONGEST_PAUSE_SECONDS)))
        cuts.append(Cut(number + 1, phase, starts[turn // 2 % len(starts)], fraction, pause))
    return cuts


def _scattered(turn: int, parts: int) -> int:
    """Which part the turn falls in: early and late in turns, so that a run broken off has seen both."""
    return turn // 2 if turn % 2 == 0 else parts - 1 - turn // 2
