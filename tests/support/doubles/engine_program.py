"""The light engine as a program: what a device's container runs, in the place of ``vllm serve``.

``python3 -m tests.support.doubles.engine_program --config SERVE.YAML``: socket (or port) and model are the
release's. The rest is the environment's: ENGINE_MODE, ENGINE_LABEL, ENGINE_PACE, ENGINE_ANSWERS (JSON:
prompt to right answer). A file of the device (JSON: label to mode; replace it by a rename) has the last word:
so one release misbehaves, even where it runs already.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.support.doubles.engine import Engine
from tests.support.doubles.engine_modes import known, seconds

# In the checkpoint's directory: what tells an engine its mode need not know which cache the engine has.
MODES_FILE = Path("/models/checkpoint/engine-modes.json")
PACE_SECONDS = 0.01  # an unpaced engine's speed would be the noise of the machine
MOST_MEMORY_BYTES = 2 * 2**30  # a machine without a limit for the container is not to be felled
LAST_WORDS = "RuntimeError: told to end before anybody was served"
_POLL_SECONDS = 0.1
_STEP_BYTES = 16 * 2**20


class LightEngine(Engine):
    """An engine whose mode the file says, where it knows the label."""

    def __init__(
        self, model: str, place: int | Path, environment: dict[str, str], modes: Path = MODES_FILE
    ) -> None:
        self._modes = modes
        label = environment.get("ENGINE_LABEL", "")
        self._label, self._mode = label, known(environment.get("ENGINE_MODE", "good"))
        self._before_it_listens()
        answers = json.loads(environment.get("ENGINE_ANSWERS", "{}"))
        pace = float(environment.get("ENGINE_PACE", PACE_SECONDS))
        port, path = (0, place) if isinstance(place, Path) else (place, None)
        super().__init__(model, self._mode, port, answers, label=label, pace=pace, socket=path)
        self._ready_at = time.monotonic()

    @property
    def mode(self) -> str:
        """The file's word for this label, else the last one that it was told."""
        try:
            told = json.loads(self._modes.read_text(encoding="utf-8")).get(self._label)
        except FileNotFoundError:
            told = None
        return known(told) if told else self._mode

    @mode.setter
    def mode(self, value: str) -> None:
        self._mode = value

    def watch(self) -> None:
        """Does what ends a process, for as long as it lives."""
        taken: list[bytearray] = []
        while True:
            mode = self.mode
            lives = seconds(mode, "dies_after")
            if mode == "exits" or (lives is not None and time.monotonic() - self._ready_at >= lives):
                os._exit(1)
            if mode == "eats_memory" and len(taken) * _STEP_BYTES < MOST_MEMORY_BYTES:
                taken.append(bytearray(b"x" * _STEP_BYTES))
            time.sleep(_POLL_SECONDS)

    def _before_it_listens(self) -> None:
        begun = time.monotonic()
        while True:
            if self.mode == "exits":
                print(LAST_WORDS, file=sys.stderr, flush=True)  # noqa: T201 - the container's log
                os._exit(1)
            wanted = seconds(self.mode, "starts_after")
            over = wanted is not None and time.monotonic() - begun >= wanted
            if over or (wanted is None and self.mode != "never_ready"):
                return
            time.sleep(_POLL_SECONDS)


def options(config: str) -> dict[str, Any]:
    """Option to value of a rendered serve.yaml: one a line, its value as JSON."""
    lines = [line for line in config.splitlines() if line and not line.startswith("#")]
    return {name: json.loads(value) for name, _, value in (line.partition(": ") for line in lines)}


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    found = options(parser.parse_args().config.read_text(encoding="utf-8"))
    model = str(found["served-model-name"][0])
    place = Path(found["uds"]) if "uds" in found else int(found["port"])
    engine: LightEngine | None = None

    def end(*_: object) -> None:
        if engine is None or engine.mode != "deaf":
            os._exit(0)

    signal.signal(signal.SIGTERM, end)  # process 1 of a container has no default for it
    engine = LightEngine(model, place, dict(os.environ))
    threading.Thread(target=engine.watch, daemon=True).start()
    print(f"serving {model} as {engine.label!r}, {engine.mode}", flush=True)  # noqa: T201 - the container's log
    engine.server.serve_forever()


if __name__ == "__main__":
    main()
