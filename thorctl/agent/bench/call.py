"""The benchmark's calls of `vllm bench serve`: prompts, sizes, command lines.

They are valid for vLLM 0.19 and 0.32 (tests/system/contract verifies them with both real parsers). The data
set is "sharegpt", vLLM's only one with custom prompts that needs no pandas, which engine images may lack, and
that leaves the chat template to the server. It is read from standard input: nothing is written.
"""

from __future__ import annotations

import json
from typing import Any

from thorctl.agent.core.outcome import AgentError
from thorctl.protocol.dataclass import dataclass

MOST_AT_ONCE = 16  # the model card's batch, and the number of different prompts
# vLLM drops "sharegpt" entries of more than 2048 tokens, prompt included.
MOST_TOKENS = 1536
# Space for one of PROMPTS with any chat template.
_PROMPT_TOKENS = 256
CHECKPOINT = "/models/checkpoint"
WARMUPS_SINGLE = 2

# Similar lengths, different subjects, so that they use different experts. The first is the repeated one.
PROMPTS = (
    "Explain to a new colleague how a heat pump can deliver more heat than the electricity it uses.",
    "Write a Python function that merges two sorted lists into one sorted list, and test it.",
    "Describe how bread dough rises, and what happens in it while it is baked in the oven.",
    "What should somebody check before buying a used bicycle from a stranger on the street?",
    "Tell the story of a lighthouse keeper who finds a message in a bottle after a storm.",
    "Why does the moon always show the same side to the earth? Explain it step by step.",
    "Compare the advantages of rail and road for moving goods between two large harbours.",
    "Solve for x and explain each step: three x plus seven equals two x plus nineteen.",
    "Plan a week of simple dinners for four people, one of whom eats neither meat nor fish.",
    "Summarise how the printing press changed the spread of news in Europe over a century.",
    "Write a polite letter to a landlord about a window that no longer closes properly.",
    "How does a compiler turn a loop into machine instructions? Give a small example.",
    "Which exercises keep the back healthy for people who sit at a desk for eight hours?",
    "Explain the rules of chess for somebody who has only ever played draughts before.",
    "What are the stages in the life of a star that is about as heavy as our own sun?",
    "Give advice for growing tomatoes on a small balcony that only gets the morning sun.",
)


@dataclass(frozen=True)
class Sizes:
    """The sizes of a benchmark.

    Attributes:
        tokens: length of each answer, exact (the end-of-text token is ignored).
        requests: number of requests measured one by one.
        rounds: number of batches of ``at_once`` requests.
        at_once: concurrent requests of the two measurements with several streams.
    """

    tokens: int
    requests: int
    rounds: int
    at_once: int


CARD = Sizes(tokens=256, requests=8, rounds=4, at_once=16)
QUICK = Sizes(tokens=32, requests=3, rounds=1, at_once=16)


@dataclass(frozen=True)
class Measurement:
    """One call of the client.

    Attributes:
        name: single, identical or different.
        prompts: in the order of the requests.
        tokens: length of each answer.
        at_once: concurrent requests.
        warmups: unmeasured requests before, with the same concurrency.
    """

    name: str
    prompts: tuple[str, ...]
    tokens: int
    at_once: int
    warmups: int

    @property
    def generated(self) -> int:
        """The tokens that the engine generates, warm-up included."""
        return (len(self.prompts) + self.warmups) * self.tokens

    @property
    def dataset(self) -> str:
        """The prompts in the client's format, which requires a second turn of any content."""
        entry: list[dict[str, Any]] = [
            {"conversations": [{"from": "human", "value": prompt}, {"from": "gpt", "value": "-"}]}
            for prompt in self.prompts
        ]
        return json.dumps(entry)


def measurements(sizes: Sizes) -> tuple[Measurement, ...]:
    """Return the measurements in order; each warms up at its own batch size first."""
    count, at_once = sizes.rounds * sizes.at_once, sizes.at_once
    different = tuple(PROMPTS[number % at_once] for number in range(count))
    return (
        Measurement("single", (PROMPTS[0],) * sizes.requests, sizes.tokens, 1, WARMUPS_SINGLE),
        Measurement("identical", (PROMPTS[0],) * count, sizes.tokens, at_once, at_once),
        Measurement("different", different, sizes.tokens, at_once, at_once),
    )


def checked(sizes: Sizes, serve: dict[str, Any]) -> Sizes:
    """Return the sizes, limited to the engine's concurrency.

    Raises:
        AgentError: ``bad_call``.
    """
    length = serve.get("max-model-len")
    most = MOST_TOKENS if not isinstance(length, int) else min(MOST_TOKENS, length - _PROMPT_TOKENS)
    rules = (
        (2 <= sizes.tokens <= most, f"--tokens {sizes.tokens}: this release takes 2 to {most}"),
        (1 <= sizes.requests <= 1000, f"--requests {sizes.requests}: 1 to 1000"),
        (1 <= sizes.rounds <= 100, f"--rounds {sizes.rounds}: 1 to 100"),
        (1 <= sizes.at_once <= MOST_AT_ONCE, f"--at-once {sizes.at_once}: 1 to {MOST_AT_ONCE}"),
    )
    for holds, fault in rules:
        if not holds:
            raise AgentError("bad_call", f"{fault}.", "See `thorctl bench --help`.")
    running = serve.get("max-num-seqs")
    at_once = min(sizes.at_once, running) if isinstance(running, int) else sizes.at_once
    return Sizes(sizes.tokens, sizes.requests, sizes.rounds, at_once)


def words(measurement: Measurement, *, port: int, model: str, result: str) -> list[str]:
    """Return the command line of the client, as it runs in the engine's container.

    Args:
        measurement: what to measure.
        port: the engine's, on 127.0.0.1.
        model: the name under which the engine serves it.
        result: the file of results, in the container's /tmp.
    """
    options: tuple[tuple[str, ...], ...] = (
        ("--backend", "openai-chat"),
        ("--base-url", f"http://127.0.0.1:{port}"),
        ("--endpoint", "/v1/chat/completions"),
        ("--model", model),
        ("--served-model-name", model),
        ("--tokenizer", CHECKPOINT),
        ("--dataset-name", "sharegpt"),
        ("--dataset-path", "/dev/stdin"),
        ("--sharegpt-output-len", str(measurement.tokens)),
        ("--disable-shuffle",),
        ("--no-oversample",),
        ("--num-prompts", str(len(measurement.prompts))),
        ("--num-warmups", str(measurement.warmups)),
        ("--max-concurrency", str(measurement.at_once)),
        ("--ignore-eos",),
        ("--temperature", "0"),
        ("--seed", "0"),
        ("--disable-tqdm",),
        ("--percentile-metrics", "ttft,tpot,itl,e2el"),
        ("--save-result",),
        ("--save-detailed",),
        ("--result-dir", "/tmp"),  # noqa: S108 - the container's own tmpfs
        ("--result-filename", result),
    )
    return ["vllm", "bench", "serve", *(word for option in options for word in option)]
