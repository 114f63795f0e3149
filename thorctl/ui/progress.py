"""Show steps on stderr: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

if TYPE_CHECKING:
    from types import TracebackType

    from thorctl.ui.console import Console


class StepProgress:
    """An ``images.Report``. Steps may run concurrently in several threads.

    A step is announced once, with its detail; on a terminal further details replace the first. A finished
    step stays as one line with its seconds.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._announced: set[str] = set()
        self._live: Progress | None = None
        if console.is_terminal and not console.quiet:
            self._live = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                console=console,
                transient=True,
            )

    def __enter__(self) -> Self:
        """Start the live view."""
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the live view."""
        if self._live:
            self._live.stop()

    def __call__(self, step: str, detail: str, seconds: float | None) -> None:
        """Show one step's begin (``seconds`` None), progress, or end."""
        with self._lock:
            if seconds is not None:
                self._finish(step, detail, seconds)
            elif self._live:
                self._advance(step, detail)
            elif step not in self._announced:
                self._announced.add(step)
                self._console.print(f"… {step}  {detail}".rstrip(), highlight=False, soft_wrap=True)

    def _advance(self, step: str, detail: str) -> None:
        assert self._live is not None  # noqa: S101 - a programming error, not input
        text = f"[bold]{escape(step)}[/]  [dim]{escape(detail)}[/]"
        if step in self._tasks:
            self._live.update(self._tasks[step], description=text)
        else:
            self._tasks[step] = self._live.add_task(text, total=None)

    def _finish(self, step: str, detail: str, seconds: float) -> None:
        if self._live and step in self._tasks:
            self._live.remove_task(self._tasks.pop(step))
        self._announced.discard(step)
        self._console.print(
            Text.assemble(("✓ ", "green"), (step, "bold"), f"  {detail}  ", (f"{seconds:.1f} s", "dim")),
            highlight=False,
            soft_wrap=True,
        )
