"""The hands that reach real devices: short verbs over SSH, staging and activation by the playbooks.

Staging and activation outlive a broken connection that way (the playbooks run them detached), and leave
ansible-runner's events and a log for each device below the rollout's folder.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import json
import queue
import threading
from typing import TYPE_CHECKING, Any

from thorctl.ansible_support import playbook
from thorctl.protocol.verbs import VERBS
from thorctl.remote.agent_call import run_verb_async
from thorctl.remote.answer import Answer
from thorctl.remote.shipped_agent import Question, look_async
from thorctl.result import Problem
from thorctl.rollout.run.batches import Batches
from thorctl.rollout.run.controller import Begun, Done
from thorctl.rollout.run.verb_call import AGENT_ROLES, answer_of, words_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from thorctl.ansible_support.playbook import TaskEnd
    from thorctl.inventory.devices import Device

AT_ONCE = 50  # connections; as many as thorctl opens elsewhere
PROGRESS_SECONDS = 5.0  # between two looks at a download's progress
GOODBYE_SECONDS = 10.0  # for a playbook and the connections to end when we do
BOOKS = ("stage", "activate")  # verbs, and the playbooks of the same name
_BUG = "Continue it with `thorctl rollout resume`, and report this fault of thorctl."


class DeviceHands:
    """For the length of a ``with`` block. One thread speaks SSH, one more watches each playbook."""

    def __init__(
        self,
        devices: Sequence[Device],
        holder: str,
        releases: Mapping[str, Any],
        activate_seconds: Mapping[str, int],
        *,
        playbooks: Path,
        inventory: Path,
        folder: Path,
        run: str,
    ) -> None:
        self._devices = {device.name: device for device in devices}
        self._holder, self._releases, self._activate_seconds = holder, releases, activate_seconds
        self._playbooks, self._inventory, self._folder, self._run = playbooks, inventory, folder, run
        self._done: queue.Queue[Done] = queue.Queue()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._closed = threading.Event()
        self._books = itertools.count(1)
        self._batches = Batches(self._play, self._closed)
        self.progress: dict[str, Mapping[str, Any]] = {}  # device -> what its agent says of the verb at work

    def __enter__(self) -> DeviceHands:
        """Ready to begin steps."""
        folder = self._folder / "releases"
        folder.mkdir(mode=playbook.PRIVATE, parents=True, exist_ok=True)
        for name, document in self._releases.items():
            (folder / f"{name}.json").write_text(json.dumps(document, ensure_ascii=False))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Lets everything go; what devices are at goes on there."""
        self._closed.set()
        for thread in self._batches.threads:
            thread.join(GOODBYE_SECONDS)
        with contextlib.suppress(TimeoutError, concurrent.futures.TimeoutError):
            asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result(GOODBYE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def begin(self, steps: Sequence[Begun]) -> None:
        """Begin these steps."""
        for begun in steps:
            if begun.step.device not in self._devices:
                self._done.put(Done(begun.number, _gone(begun.step.device)))
        steps = [begun for begun in steps if begun.step.device in self._devices]
        for verb in BOOKS:
            mine = [begun for begun in steps if begun.step.verb == verb]
            if mine:
                self._batches.add(verb, mine)
        for begun in steps:
            if begun.step.verb not in BOOKS:
                asyncio.run_coroutine_threadsafe(self._ask(begun), self._loop)

    def wait(self, seconds: float) -> list[Done]:
        """Steps that have ended, at least one unless ``seconds`` have passed."""
        done: list[Done] = []
        try:
            done.append(self._done.get(timeout=max(seconds, 0.01)))
            while True:
                done.append(self._done.get_nowait())
        except queue.Empty:
            return done

    async def _ask(self, begun: Begun) -> None:
        step = begun.step
        try:
            device = self._devices[step.device]
            words, seconds = words_for(begun, device.preflight_skip), self._patience(begun)
            document = json.dumps(self._releases[step.release]) if step.verb == "preflight" else None
            async with self._gate:
                (answer,) = await run_verb_async(
                    [device], words[0], words[1:], stdin=document, holder=self._holder, timeout=seconds
                )
            if document and answer.error and answer.error.code == "release_invalid":
                # An agent of an earlier layout does not read the release: this thorctl's own agent answers.
                question = Question(device, words[0], tuple(words[1:]), document)
                (answer,) = await look_async([question], timeout=seconds)
        except Exception as fault:  # noqa: BLE001 - whatever it was, its step must not be waited for
            why = f"{type(fault).__name__}: {fault}"
            problem = Problem(
                "agent_garbage", f"The verb {step.verb} could not be called: {why}.", _BUG, step.device
            )
            answer = Answer(step.device, error=problem)
        self._done.put(Done(begun.number, answer))

    def _patience(self, begun: Begun) -> float:
        """Seconds that a verb may take."""
        step = begun.step
        if step.verb == "rollback":
            return float(self._activate_seconds[step.release])
        return VERBS[words_for(begun)[0]].seconds

    def _play(self, book: str, steps: Sequence[Begun]) -> None:
        folder = self._folder / f"{self._run}-{next(self._books):03}-{book}"
        left = {begun.step.device: begun.number for begun in steps}
        rescued_or_last: dict[str, Answer] = {}  # of a role that goes on after some failures of its tasks
        watch = asyncio.run_coroutine_threadsafe(self._watch(left), self._loop)

        def note(end: TaskEnd) -> None:
            answer = answer_of(end, book)
            if answer and answer.reached and end.role in AGENT_ROLES:
                rescued_or_last[end.device] = answer
            elif answer and end.device in left:
                self._done.put(Done(left.pop(end.device), answer))

        try:
            run = playbook.run(
                book,
                playbooks=self._playbooks,
                inventory=self._inventory,
                devices=sorted(left),
                folder=folder,
                variables=self._variables(steps),
                # Its first task renders the profile anew; here the release is given.
                options="--skip-tags always",
                on_task=note,
                cancelled=self._closed.is_set,
            )
            ended = f"ended with {run.exit_code}"
        except Exception as fault:  # noqa: BLE001 - whatever it was, its steps must not be waited for
            ended = f"failed: {fault}"
        watch.cancel()
        for device, number in list(left.items()):
            log = playbook.log_file(folder, device)
            problem = Problem(
                "agent_garbage", f"{book}.yml {ended} without a result.", f"Read {log} and {folder}.", device
            )
            self._done.put(Done(number, rescued_or_last.get(device) or Answer(device, error=problem)))

    def _variables(self, steps: Sequence[Begun]) -> dict[str, Any]:
        # Read from files where they are used: as variables, Jinja templates inside would be filled in.
        file = "thor_rollout_folder ~ '/' ~ thor_rollout_release[inventory_hostname] ~ '.json'"
        return {
            "thor_rollout_folder": str(self._folder / "releases"),
            "thor_rollout_release": {begun.step.device: begun.step.release for begun in steps},
            "thor_rollout_seconds": {begun.step.device: begun.step.seconds for begun in steps},
            "thor_release": f"{{{{ lookup('ansible.builtin.file', {file}) | from_json }}}}",
            "thor_service_trial_seconds": "{{ thor_rollout_seconds[inventory_hostname] }}",
            "thor_holder": self._holder,
            **self._over_holds(steps),
        }

    def _over_holds(self, steps: Sequence[Begun]) -> dict[str, Any]:
        """The holds to pass over. Each is a device's own words: through a file, for the same reason."""
        files = {}
        for begun in steps:
            if begun.step.over_hold is not None:
                file = self._folder / "releases" / f"hold-{begun.number}.txt"
                file.write_text(begun.step.over_hold, encoding="utf-8")
                files[begun.step.device] = str(file)
        if not files:
            return {}
        words = "lookup('ansible.builtin.file', thor_rollout_holds[inventory_hostname], rstrip=False)"
        its_own = f"{words} if inventory_hostname in thor_rollout_holds else none"
        return {"thor_rollout_holds": files, "thor_service_over_hold": f"{{{{ {its_own} }}}}"}

    async def _watch(self, left: Mapping[str, int]) -> None:
        """Keeps ``progress`` for devices that a playbook is at."""
        names = list(left)
        try:
            while True:
                await asyncio.sleep(PROGRESS_SECONDS)
                devices = [self._devices[name] for name in names if name in left]
                answers = await run_verb_async(devices, "status", limit=AT_ONCE)
                for answer in answers:
                    progress = answer.data.get("progress")
                    if answer.ok and isinstance(progress, dict) and answer.device in left:
                        self.progress[answer.device] = progress
                    else:
                        self.progress.pop(answer.device, None)
        finally:
            for name in names:
                self.progress.pop(name, None)


def _gone(device: str) -> Answer:
    problem = Problem(
        "device_unreachable",
        "It is no longer in the inventory.",
        "Put it back into the inventory, or leave it.",
        device,
    )
    return Answer(device, error=problem, reached=False)


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
