"""The result of a smoke test: data, message, and the record for commit."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from thorctl.agent.core.outcome import AgentError
from thorctl.agent.smoke import features
from thorctl.agent.smoke.judge import FailedCheck, Generation, count_checks, judge, judge_together
from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.plural import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thorctl.agent.smoke.features import Result
    from thorctl.agent.smoke.sampling import Sampling

_TEXT_CHARACTERS = 200


@dataclass(frozen=True)
class Report:
    """An evaluated smoke test.

    Attributes:
        release: its id.
        sequential, concurrent: the generations made one by one, and those made concurrently.
        wanted: the required number of generations.
        seconds: duration of the test.
        sampling: that of prompts with thinking.
        missed: the generation that was repeated; its second attempt replaces it.
        features: the results of the API's features.
    """

    release: str
    sequential: Sequence[Generation]
    concurrent: Sequence[Generation]
    wanted: int
    seconds: float
    sampling: Sampling
    missed: Generation | None = None
    features: Sequence[Result] = ()

    @property
    def generations(self) -> list[Generation]:
        """All generations, in the order of their start."""
        return [*self.sequential, *self.concurrent]

    @property
    def failures(self) -> list[tuple[Generation | None, FailedCheck]]:
        """Every failed check with its generation; None: a check over all, or of a feature."""
        single = [(generation, failed) for generation in self.generations for failed in judge(generation)]
        together = [(None, failed) for failed in judge_together(self.generations)]
        made = len(self.generations)
        if made < self.wanted:
            together.append(
                (None, FailedCheck("all_made", f"only {made} of {self.wanted} generations were made"))
            )
        together += [(None, FailedCheck(one.name, one.reason)) for one in features.failed(self.features)]
        return [*single, *together]

    @property
    def results(self) -> list[Result]:
        """Return every check by its name: those of the generations, then the features."""
        counts = count_checks([judge(generation) for generation in self.generations])
        found = [
            features.tally(name, count["passed"], count["failed"], self._first(name))
            for name, count in counts.items()
        ]
        others = {failed.check: failed.detail for generation, failed in self.failures if generation is None}
        found += [
            features.Result(name, features.FAILED, others[name])
            if name in others
            else features.Result(name, features.PASSED, counted(len(self.generations), "generation"))
            for name in ("different_answers", "all_made")
        ]
        return [*found, *self.features]

    def _first(self, check: str) -> str | None:
        return next((failed.detail for _, failed in self.failures if failed.check == check), None)

    @property
    def tokens_per_second(self) -> float | None:
        """The tokens per second of the sequential generations, prompts included; None if unknown."""
        tokens = [generation.tokens for generation in self.sequential]
        seconds = sum(generation.seconds for generation in self.sequential)
        counted = [count for count in tokens if count is not None]
        return (
            round(sum(counted) / seconds, 1) if len(counted) == len(tokens) and counted and seconds else None
        )

    def data(self) -> dict[str, Any]:
        """Return the verb's data (docs/reference/interfaces.md)."""
        return {
            "release": self.release,
            "passed": not self.failures,
            "generations": [_generation(generation) for generation in self.generations],
            "asked_again": _generation(self.missed) if self.missed else None,
            "sampling": self.sampling.document(),
            "checks": count_checks([judge(generation) for generation in self.generations]),
            "results": [asdict(one) for one in self.results],
            "tokens_per_second": self.tokens_per_second,
            "seconds": round(self.seconds, 3),
        }

    def record(self, at: str) -> dict[str, Any]:
        """Return the content of /var/lib/thor/smoke.json; ``at``: the test's end, RFC 3339."""
        return {
            "schema": 1,
            "release": self.release,
            "passed": not self.failures,
            "at": at,
            "tokens_per_second": self.tokens_per_second,
            "failed_checks": sorted({failed.check for _, failed in self.failures}),
        }

    def error(self) -> AgentError | None:
        """Return ``smoke_failed`` with the first failure's prompt and text; None if none failed."""
        if not self.failures:
            return None
        generation, failed = self.failures[0]
        where = "" if generation is None else f" for the prompt {generation.prompt_name!r}"
        text = "" if generation is None else f" Text: {shorten(generation.answer or generation.reasoning)!r}."
        return AgentError(
            "smoke_failed",
            f"The smoke test of {self.release} failed: {failed.check}{where}: "
            f"{failed.detail.rstrip('.')}.{text}",
            "Read every text: `thorctl smoke DEVICE --verbose`. Return to the previous release: "
            "`thorctl rollback DEVICE`. Read the engine's log: `thorctl logs DEVICE --engine`.",
            details={
                "check": failed.check,
                "detail": failed.detail,
                "prompt_name": generation.prompt_name if generation else None,
                "text": shorten(generation.answer or generation.reasoning) if generation else None,
            },
            data=self.data(),
        )


def shorten(text: str) -> str:
    """Shorten text to one line of a log."""
    return text if len(text) <= _TEXT_CHARACTERS else f"{text[:_TEXT_CHARACTERS]}…"


def _generation(generation: Generation) -> dict[str, Any]:
    return {
        "prompt_name": generation.prompt_name,
        "prompt": generation.prompt,
        "thinking": generation.reasoning if generation.thinking or generation.reasoning else None,
        "answer": generation.answer,
        "tokens": generation.tokens,
        "seconds": round(generation.seconds, 3),
        "finish_reason": generation.finish_reason,
        "failed_checks": [asdict(failed) for failed in judge(generation)],
    }
