"""Verify on the device that the image's program runs as the profile's user."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError
from thorctl.agent.core.runner import RC_NOT_FOUND, RC_TIMED_OUT
from thorctl.agent.engine import account, volumes
from thorctl.agent.verbs import engine_prepare

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.core.runner import Completed
    from thorctl.agent.release.document import Release

CONTAINER = "thor-prove"
# The first program of the image to run, on every device that stages it, beside the running engine.
LIMITS = ("--memory", "8g", "--pids-limit", "4096", "--log-driver", "none")
SECONDS = 600.0  # the first import of vLLM from a disk that has just been written
TRIES = 3  # in case Docker restarts meanwhile
_DOCKER_ENDED = re.compile(r"Cannot connect to the Docker daemon|error waiting for container|unexpected EOF")
_LAST = 300  # longest shown part of the program's message, in characters


def verify(ctx: Context, release: Release) -> None:
    """Run the image's program with ``--version``, confined like the engine.

    Some images keep Python below /root (0700), where any user but root ends with status 126. This is known
    only once the image is on the device.

    Raises:
        AgentError: ``image_user_unusable``, ``account_missing``, ``image_volume_refused``.
    """
    user = account.of_engine(release)
    program = engine_prepare.command(ctx, release.image, release.entrypoint)[0]
    container = release.document["device_class"]["container"]
    argv = ["docker", "run", "--rm", "--name", CONTAINER, "--pull", "never", *LIMITS]
    argv += ["--network", "none", "--read-only", "--cap-drop", "ALL"]
    argv += ["--tmpfs", "/tmp:rw,exec,nosuid,nodev,mode=1777,size=1g"]  # noqa: S108 - its own
    argv += ["--security-opt", "no-new-privileges", "--user", str(user)]
    argv += volumes.options(ctx, release.image, [volumes.TMP])
    variables = {"HOME": "/tmp/home", "USER": account.NAME, "LOGNAME": account.NAME}  # noqa: S108 - its own
    for name, value in {**variables, **(container.get("environment") or {})}.items():
        argv += ["--env", f"{name}={value}"]
    if container.get("runtime"):
        argv += ["--runtime", container["runtime"]]
    argv += ["--entrypoint", "/bin/sh", release.image, "-c", 'umask 0; exec "$0" --version', program]
    done = _run(ctx, argv)
    for _ in range(TRIES):
        if done.ok or not _DOCKER_ENDED.search(done.stderr):
            break
        ctx.docker.wait()
        done = _run(ctx, argv)
    if done.ok:
        ctx.log.info("%s as %s: %s", program, user, done.stdout.strip())
        return
    if done.rc == RC_NOT_FOUND and not done.stderr.strip():
        raise AgentError(
            "docker_unavailable",
            "The program docker is not installed on this device.",
            "Run `cd playbooks && ansible-playbook site.yml --limit DEVICE`, which installs it.",
        )
    said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    why = "no answer in time" if done.rc == RC_TIMED_OUT else (said[-1][:_LAST] if said else "no message")
    other = "own" if release.image_user == "root" else "root"
    raise AgentError(
        "image_user_unusable",
        f"`{program} --version` of {release.image} fails as {user} (exit {done.rc}): {why}.",
        f"Set image.user: {other} in the profile (now {release.image_user}) and render the release again.",
        details={"image": release.image, "user": str(user), "exit": done.rc, "output": said[-20:]},
    )


def _run(ctx: Context, argv: list[str]) -> Completed:
    """Run Docker's client, then remove the container: it outlives a client that is killed."""
    ctx.docker.remove_container(CONTAINER)
    done = ctx.runner.run(argv, timeout=SECONDS)
    if not done.ok:
        with suppress(AgentError):  # the client reports a stopped Docker
            ctx.docker.remove_container(CONTAINER)
    return done
