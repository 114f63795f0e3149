"""Long verbs on the command line: a line of progress while devices work, and what remains after Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thorctl.errors import ThorError
from thorctl.inventory.pattern import shortened
from thorctl.remote.detached import run_tasks
from thorctl.rollout.views.rollout import of_one

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from thorctl.cli.context import Context
    from thorctl.remote.answer import Answer
    from thorctl.remote.detached import Task

NAMED = 4  # devices whose progress is shown; of more only the names


def run_shown(
    context: Context,
    what: str,
    tasks: Sequence[Task],
    *,
    parallel: int,
    on_progress: Callable[[str, Mapping[str, Any]], None] | None = None,
) -> list[Answer]:
    """Run the tasks and return their answers; ``what`` is shown on stderr with the devices at work.

    Raises:
        ThorError: ``interrupted``, after Ctrl-C; the devices continue.
    """
    left = {task.device.name: "" for task in tasks}
    if not tasks:
        return []
    with context.messages.status(_line(what, left)) as shown:

        def tell(device: str, progress: Mapping[str, Any]) -> None:
            left[device] = of_one(progress)
            shown.update(_line(what, left))
            if on_progress:
                on_progress(device, progress)

        def note(answer: Answer) -> None:
            left.pop(answer.device, None)
            shown.update(_line(what, left))

        try:
            return run_tasks(tasks, limit=parallel, on_answer=note, on_progress=tell)
        except KeyboardInterrupt:
            names = list(left)
            raise ThorError(
                "interrupted",
                f"Stopped waiting. What has begun continues on {shortened(names)}.",
                f"Run the same command to wait for it again; see `thorctl status {' '.join(names[:NAMED])}`.",
            ) from None


def _line(what: str, left: Mapping[str, str]) -> str:
    if len(left) > NAMED:
        return f"{what}: {shortened(list(left))} …"
    devices = (f"{name} ({words})" if words else name for name, words in left.items())
    return f"{what}: {', '.join(devices)} …"
