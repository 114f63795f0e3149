"""One call of the agent: a verb, its arguments and its standard input."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thorctl.errors import ThorError
from thorctl.protocol.verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Call:
    """``thor-agent [--holder …] VERB WORDS``, with ``stdin`` as its standard input."""

    verb: str
    words: tuple[str, ...] = ()
    stdin: str | None = None

    @property
    def reads_only(self) -> bool:
        """Whether it changes nothing, so that any agent may answer, also one shipped for this call."""
        return VERBS[self.verb].reads_only or self.words[:1] == ("show",)

    @property
    def detached(self) -> bool:
        """Whether the verb runs detached on the device; a dry run does not."""
        return VERBS[self.verb].detached and "--dry-run" not in self.words


def call_for(verb: str, release: Mapping[str, Any] | None, arguments: Sequence[str]) -> Call:
    """The call of a verb.

    Args:
        verb: one of ``VERBS`` that is not internal.
        release: the release document, for the verbs that concern one: whole on stdin, or its id as a word.
        arguments: further words, passed on as they are.

    Raises:
        ThorError: ``bad_call``: no such verb, or a verb that needs a release got none.
    """
    known = [one.name for one in VERBS.values() if not one.internal]
    if verb not in known:
        raise ThorError("bad_call", f"The agent has no verb {verb!r}.", f"Use one of: {', '.join(known)}.")
    if VERBS[verb].takes == "document":
        if release is None:
            raise ThorError(
                "bad_call",
                f"The verb {verb} needs a release.",
                "Give `release: \"{{ lookup('thor_release', …) }}\"`.",
            )
        return Call(verb, ("--release", "-", *arguments), json.dumps(release, ensure_ascii=False))
    if VERBS[verb].takes == "id" and release is not None:
        return Call(verb, (str(release["id"]), *arguments))
    return Call(verb, tuple(arguments))
