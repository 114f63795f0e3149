"""The executor of a rollout: performs decided steps on devices over SSH, each on the device's own connection.

Long verbs run detached on the device. They survive a connection that breaks and a controller that is killed;
another controller joins them.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import queue
import threading
from typing import TYPE_CHECKING, Any

from thorctl.remote.answer import Answer
from thorctl.remote.call import Call
from thorctl.remote.connections import Connections
from thorctl.remote.detached import Task, run_call, run_task
from thorctl.result import Problem
from thorctl.rollout.plan import agent_too_old
from thorctl.rollout.run.controller import Begun, Done
from thorctl.rollout.run.preparation import layouts, status_of
from thorctl.rollout.run.step_call import call_of

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

    from thorctl.inventory.devices import Device
    from thorctl.rollout.model.scheduler import Step

GOODBYE_SECONDS = 10.0  # for connections to end when we do
_BUG = "Continue it with `thorctl rollout resume`, and report this fault of thorctl."


class DeviceExecutor:
    """For the length of a ``with`` block, whose thread speaks SSH.

    Args:
        activate_seconds: release -> time limit of its activation, and of a rollback to it.
        silence_seconds: how long a device may give no answer during a long verb.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        holder: str,
        releases: Mapping[str, Any],
        activate_seconds: Mapping[str, int],
        *,
        silence_seconds: float,
    ) -> None:
        self._devices = {device.name: device for device in devices}
        self._holder, self._releases, self._activate_seconds = holder, releases, activate_seconds
        self._silence_seconds = silence_seconds
        self._done: queue.Queue[Done] = queue.Queue()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._connections = Connections()
        self.progress: dict[str, Mapping[str, Any]] = {}  # device -> progress of its verb

    def __enter__(self) -> DeviceExecutor:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close all connections; verbs on devices continue."""
        with contextlib.suppress(TimeoutError, concurrent.futures.TimeoutError):
            self._submit(self._close()).result(GOODBYE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def begin(self, steps: Sequence[Begun]) -> None:
        """Begin these steps."""
        for begun in steps:
            self._submit(self._perform(begun))

    def wait(self, seconds: float) -> list[Done]:
        """Steps that have ended, at least one unless ``seconds`` have passed."""
        done: list[Done] = []
        try:
            done.append(self._done.get(timeout=max(seconds, 0.01)))
            while True:
                done.append(self._done.get_nowait())
        except queue.Empty:
            return done

    def _submit(self, work: Coroutine[Any, Any, None]) -> concurrent.futures.Future[None]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _perform(self, begun: Begun) -> None:
        step = begun.step
        try:
            device = self._devices.get(step.device)
            answer = _gone(step.device) if device is None else await self._answer(device, step)
        except Exception as fault:  # noqa: BLE001 - whatever it was, its step must not be waited for
            why = f"{type(fault).__name__}: {fault}"
            problem = Problem(
                "agent_garbage", f"The verb {step.verb} could not be called: {why}.", _BUG, step.device
            )
            answer = Answer(step.device, error=problem)
        finally:
            self.progress.pop(step.device, None)
        self._done.put(Done(begun.number, answer))

    async def _answer(self, device: Device, step: Step) -> Answer:
        call = call_of(step, self._releases.get(step.release), device.preflight_skip)
        if call.detached:
            task = Task(device, call, self._holder, self._limit(device, step), self._silence_seconds)
            return await run_task(task, self._connections, on_progress=self.progress.__setitem__)
        answer = await run_call(device, call, self._connections, holder=self._holder)
        if answer.error and answer.error.code == "release_invalid":
            return await self._reader(device, step, answer)
        return answer

    def _limit(self, device: Device, step: Step) -> float | None:
        """Seconds that a long verb may take; None: the verb's own."""
        if step.verb == "stage":
            return device.stage_seconds or None
        return self._activate_seconds[step.release] if step.verb in {"activate", "rollback"} else None

    async def _reader(self, device: Device, step: Step, refused: Answer) -> Answer:
        """Why an agent takes the release for invalid: it may not read its layout."""
        status = await run_call(device, Call("status"), self._connections)
        layout = self._releases[step.release].get("schema", 1)
        if status.error or layout in layouts(status_of(status)):
            return refused
        return Answer(device.name, refused.object, agent_too_old([device.name]))

    async def _close(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._connections.close()


def _gone(device: str) -> Answer:
    problem = Problem(
        "device_unreachable",
        "It is no longer in the inventory.",
        "Put it back into the inventory, or leave it.",
        device,
    )
    return Answer(device, error=problem, reached=False)
