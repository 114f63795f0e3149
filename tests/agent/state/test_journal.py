"""Every state against every step: what is allowed leads where it should, all else is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thorctl.agent.state.journal import (
    IllegalTransition,
    Journal,
    begin_activation,
    begin_review,
    begin_rollback,
    begin_trial,
    commit,
    finish_rollback,
    from_document,
)
from thorctl.protocol.states import ACTIVATING, COMMITTED, EMPTY, ROLLING_BACK, STATES, TRANSITIONS, TRIAL

if TYPE_CHECKING:
    from collections.abc import Callable

NOW, LATER = "2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z"
OLD, OLDER, NEW = "tiny-aaaaaaaaaaaa", "tiny-bbbbbbbbbbbb", "tiny-cccccccccccc"

JOURNALS = {
    "empty": Journal(),
    "first committed": Journal(COMMITTED, current=OLD),
    "committed": Journal(COMMITTED, current=OLD, previous=OLDER),
    "first activating": Journal(ACTIVATING, target=NEW, activation=1),
    "activating": Journal(ACTIVATING, current=OLD, previous=OLDER, target=NEW, activation=2),
    "first trial": Journal(TRIAL, target=NEW, deadline=LATER, activated_at=NOW),
    "trial": Journal(TRIAL, current=OLD, previous=OLDER, target=NEW, deadline=LATER, activated_at=NOW),
    "first rolling-back": Journal(ROLLING_BACK, target=NEW),
    "rolling-back": Journal(ROLLING_BACK, current=OLD, previous=OLDER, target=NEW),
}
STEPS: dict[str, Callable[[Journal], Journal]] = {
    "activate": lambda journal: begin_activation(journal, NEW, NOW, "boot"),
    "activate current": lambda journal: begin_activation(journal, OLD, NOW, "boot"),
    "trial": lambda journal: begin_trial(journal, NOW, LATER),
    "commit": lambda journal: commit(journal, NOW),
    "roll back": lambda journal: begin_rollback(journal, NOW, "asked"),
    "finish": lambda journal: finish_rollback(journal, NOW),
}
# (state, current, previous, target) after each step that is allowed; every pair not here must be refused.
ALLOWED = {
    ("empty", "activate"): (ACTIVATING, None, None, NEW),
    ("empty", "activate current"): (ACTIVATING, None, None, OLD),
    ("first committed", "activate"): (ACTIVATING, OLD, None, NEW),
    ("committed", "activate"): (ACTIVATING, OLD, OLDER, NEW),
    ("committed", "roll back"): (ROLLING_BACK, OLDER, None, OLD),
    ("first activating", "activate"): (ACTIVATING, None, None, NEW),
    ("first activating", "trial"): (TRIAL, None, None, NEW),
    ("first activating", "roll back"): (ROLLING_BACK, None, None, NEW),
    ("activating", "activate"): (ACTIVATING, OLD, OLDER, NEW),
    ("activating", "trial"): (TRIAL, OLD, OLDER, NEW),
    ("activating", "roll back"): (ROLLING_BACK, OLD, OLDER, NEW),
    ("first trial", "commit"): (COMMITTED, NEW, None, None),
    ("first trial", "roll back"): (ROLLING_BACK, None, None, NEW),
    ("trial", "commit"): (COMMITTED, NEW, OLD, None),
    ("trial", "roll back"): (ROLLING_BACK, OLD, OLDER, NEW),
    ("first rolling-back", "finish"): (EMPTY, None, None, None),
    ("rolling-back", "finish"): (COMMITTED, OLD, OLDER, None),
}


def test_journals_cover_every_state() -> None:
    assert {journal.state for journal in JOURNALS.values()} == set(STATES)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", JOURNALS)
def test_step(name: str, step: str) -> None:
    journal = JOURNALS[name]
    wanted = ALLOWED.get((name, step))
    if wanted is None:
        with pytest.raises(IllegalTransition):
            STEPS[step](journal)
        return
    after = STEPS[step](journal)
    assert (after.state, after.current, after.previous, after.target) == wanted
    assert from_document(after.document()) == after  # what is written can be read again
    assert after.since == NOW


@pytest.mark.parametrize("name", JOURNALS)
def test_what_a_rollback_needs_is_never_cleaned_up(name: str) -> None:
    journal = JOURNALS[name]
    for release in (journal.current, journal.target, journal.previous, journal.running):
        assert release is None or release in journal.needed


def test_each_activation_has_a_number_of_its_own() -> None:
    first = begin_activation(JOURNALS["committed"], NEW, NOW, "boot")
    again = begin_activation(first, NEW, NOW, "boot")
    assert first.activation < again.activation


def test_what_a_newer_agent_noted_besides_does_not_keep_an_older_one_from_its_way() -> None:
    assert from_document(JOURNALS["trial"].document() | {"surprise": 1}) == JOURNALS["trial"]


def test_a_rollback_is_remembered_until_the_next_activation() -> None:
    rolled_back = finish_rollback(JOURNALS["rolling-back"], NOW)
    assert rolled_back.left == NEW
    assert begin_activation(rolled_back, NEW, NOW, "boot").left is None


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"schema": 2, "state": "empty"},
        Journal().document() | {"state": "sleeping"},
        {"schema": 1},
        Journal().document() | {"current": OLD},
        Journal().document() | {"activation": "many"},
        Journal().document() | {"activation": -1},
        JOURNALS["committed"].document() | {"current": None},
        JOURNALS["committed"].document() | {"target": NEW},
        JOURNALS["committed"].document() | {"previous": 7},
        JOURNALS["trial"].document() | {"deadline": None},
        JOURNALS["trial"].document() | {"target": None},
        JOURNALS["trial"].document() | {"target": OLD},
        JOURNALS["activating"].document() | {"deadline": LATER},
    ],
)
def test_a_journal_that_contradicts_itself_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_document(document)


@pytest.mark.parametrize("name", JOURNALS)
def test_what_runs(name: str) -> None:
    journal = JOURNALS[name]
    wanted = NEW if journal.state in (ACTIVATING, TRIAL) else journal.current
    assert journal.running == wanted


def test_the_table_of_the_protocol_is_what_the_steps_do() -> None:
    named = {"activate": "begin_activation", "trial": "begin_trial", "commit": "commit"}
    named |= {
        "activate current": "begin_activation",
        "roll back": "begin_rollback",
        "finish": "finish_rollback",
    }
    found: dict[str, set[tuple[str, str]]] = {}
    for (start, step), (state, *_) in ALLOWED.items():
        found.setdefault(named[step], set()).add((JOURNALS[start].state, state))
    found["begin_review"] = {(TRIAL, begin_review(JOURNALS["first trial"], NOW, LATER, 1.0).state)}
    told = {name: (set(one.start), set(one.to)) for name, one in TRANSITIONS.items()}
    assert {name: ({a for a, _ in ways}, {b for _, b in ways}) for name, ways in found.items()} == told
