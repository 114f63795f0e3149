"""Server-sent events, as the engine streams them (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class EventReader:
    """Puts the data of each event together, line by line.

    Comments and fields other than `data` are dropped; an event that the stream's end cut short is not
    returned, as the standard says.
    """

    def __init__(self) -> None:
        self._data: list[str] = []

    def take(self, line: str) -> str | None:
        """Return the data of the event that ``line`` (with or without its line end) completes; else None."""
        line = line.rstrip("\r\n")
        if line:
            field, _, value = line.partition(":")
            if field == "data":
                self._data.append(value.removeprefix(" "))
            return None
        whole, self._data = self._data, []
        return "\n".join(whole) if whole else None

    @property
    def unfinished(self) -> bool:
        """Whether an event has begun and not ended."""
        return bool(self._data)


def events(lines: Iterable[bytes]) -> Iterator[str]:
    """Yield the data of each event in ``lines``."""
    reader = EventReader()
    for raw in lines:
        data = reader.take(raw.decode("utf-8", errors="replace"))
        if data is not None:
            yield data
