"""Data of the verb ``smoke``: texts that the release generated, and the judgement of them."""

from __future__ import annotations

from dataclasses import field

from thorctl.protocol.dataclass import dataclass


@dataclass(frozen=True)
class FailedCheck:
    """One check that a generation failed, and why."""

    check: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One generation.

    Attributes:
        prompt_name: of the profile's smoke prompts.
        prompt: what was asked.
        thinking: what the model thought; None: the prompt is one without, and it thought nothing.
        answer: what it answered.
        tokens: that it generated; None: the engine did not tell.
        seconds: that it took.
        finish_reason: in the engine's word.
        failed_checks: empty if it is right.
    """

    prompt_name: str
    prompt: str
    answer: str
    thinking: str | None = None
    tokens: int | None = None
    seconds: float = 0.0
    finish_reason: str | None = None
    failed_checks: tuple[FailedCheck, ...] = ()


@dataclass(frozen=True)
class Count:
    """How many generations passed a check, and how many failed it."""

    passed: int
    failed: int


@dataclass(frozen=True)
class CheckResult:
    """One check over all: ``result`` is passed, failed or not_asked; ``seconds`` of one that asks itself."""

    name: str
    result: str
    reason: str
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class SmokeReport:
    """A judged smoke test.

    Attributes:
        release: id of the release that was tested.
        passed: whether no check failed.
        generations: in the order in which they were begun.
        asked_again: the generation that missed and was asked again; its second attempt stands in its place.
        sampling: ``values`` and ``source`` of the sampling of prompts with thinking.
        checks: by name, over the generations.
        results: every check by its name: those of the generations, then the interface's features.
        tokens_per_second: of the sequential generations, prompts included; None: unknown.
        seconds: that all of it took.
    """

    release: str
    passed: bool
    generations: tuple[Generation, ...] = ()
    asked_again: Generation | None = None
    sampling: dict[str, object] | None = None
    checks: dict[str, Count] = field(default_factory=dict)
    results: tuple[CheckResult, ...] = ()
    tokens_per_second: float | None = None
    seconds: float | None = None
