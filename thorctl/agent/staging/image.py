"""The engine's image: find it, pull it by digest with progress in bytes, verify it after the pull."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from thorctl.agent.core.outcome import AgentError
from thorctl.agent.staging import image_keeper, pull_mark, registry_login
from thorctl.agent.staging.pull_progress import PullProgress

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release

# Docker's messages for a missing digest; any other failure may be temporary.
_ABSENT = re.compile(r"(manifest|name) unknown|manifest (for )?\S+ not found|: not found$", re.IGNORECASE)
PULLS = 3  # tries of one stage if Docker ends during a pull
_LAST_WORDS = ("Digest: ", "Status: ")  # a stream of a pull that ends without them was interrupted
# Docker's message → code, condition, remedy, whether another try may succeed without a change.
_CAUSES: tuple[tuple[str, str, str, str, bool], ...] = (
    (
        r"certificate has expired or is not yet valid",
        "registry_clock",
        "The registry's certificate is not valid at this device's time",
        "Set the device's clock (`timedatectl`; thor_time_servers).",
        False,
    ),
    (
        r"x509:|tls: failed to verify",
        "registry_untrusted",
        "The registry's certificate is not trusted by this device",
        "Put the authority that signed it into /etc/docker/certs.d/<registry>/ca.crt.",
        False,
    ),
    (
        r"toomanyrequests|too many requests|\b429\b",
        "registry_limited",
        "The registry limits the requests of this device",
        "Wait, or give the device a login, which raises the limit (thor_registry_logins).",
        True,
    ),
    (
        r"\b50[0-9] [A-Z]|status(?: code)?:? 50[0-9]|HTTP 50[0-9]|service unavailable|bad gateway",
        "registry_unavailable",
        "The registry or its token service fails",
        "Wait until it responds.",
        True,
    ),
    (
        r"proxyconnect",
        "registry_proxy_failed",
        "Docker's proxy does not reach the registry",
        "Check Docker's proxy (`systemctl show --property Environment docker`).",
        True,
    ),
    (
        r"unauthorized|authentication required|access denied|no basic auth|\b40[13] [A-Z]|denied:",
        "registry_denied",
        "The registry denies this device access to it",
        "Give the device a login with read access (thor_registry_logins), run site.yml.",
        False,
    ),
    (
        r"no such host|server misbehaving|temporary failure in name resolution",
        "image_pull_failed",
        "The registry's name could not be resolved",
        "Check the image's repository and the device's DNS (`resolvectl query`).",
        True,
    ),
    (
        r"connection refused|no route to host|network is unreachable|i/o timeout|Client.Timeout",
        "image_pull_failed",
        "The registry could not be reached",
        "Check that it runs, and that the device's network and firewall allow it.",
        True,
    ),
)
_NO_SPACE = re.compile(r"no space left on device", re.IGNORECASE)


def present(ctx: Context, release: Release) -> bool:
    """Return whether Docker has the image with the lock's digest."""
    found = ctx.docker.image(release.image)
    return found is not None and _is_of(found, release.image)


def pin(ctx: Context, release: Release) -> None:
    """Verify the image behind the engine's tag; set the tag if it is missing or wrong.

    Raises:
        AgentError: ``not_staged`` if the locked digest is missing, ``docker_unavailable``.
    """
    if not present(ctx, release):
        raise AgentError(
            "not_staged",
            f"The image {release.image} is not on this device.",
            "Stage the release again: `thorctl stage DEVICE`.",
        )
    wanted, tagged = ctx.docker.image(release.image), ctx.docker.image(release.image_tag)
    if wanted and (tagged is None or tagged.get("Id") != wanted.get("Id")):
        if tagged is not None:
            ctx.log.warning("%s named another image and is set again", release.image_tag)
        _keep(ctx, release)


def running_digest(ctx: Context, container: dict[str, Any]) -> str | None:
    """Return the digest of the image that a container runs; None if Docker has none."""
    named = str(container["Config"]["Image"])
    if "@" in named:
        return named.partition("@")[2]
    found = ctx.docker.image(str(container["Image"])) or {}
    repository = familiar(named.rpartition(":")[0])
    digests = [one.partition("@") for one in found.get("RepoDigests") or []]
    return next((digest for name, _, digest in digests if familiar(name) == repository), None)


def familiar(name: str) -> str:
    """Return a repository's name as Docker shows it: without Docker Hub's host and ``library/``."""
    host, slash, rest = name.partition("/")
    if not slash or host.lower() not in ("docker.io", "index.docker.io"):
        return f"{host.lower()}{slash}{rest}" if slash and ("." in host or ":" in host) else name
    return rest.removeprefix("library/")


def _is_of(found: dict[str, Any], reference: str) -> bool:
    repository, _, digest = reference.partition("@")
    names = (one.partition("@") for one in found.get("RepoDigests") or [])
    return any(familiar(name) == familiar(repository) and other == digest for name, _, other in names)


def ensure(ctx: Context, release: Release) -> int:
    """Pull the image if it is missing; return the downloaded bytes.

    Raises:
        AgentError: ``image_not_found``, ``image_pull_failed``, ``image_digest_mismatch``,
            ``disk_too_small``, ``docker_unavailable``.
    """
    doubtful = pull_mark.cut_short(ctx, release.image)
    if present(ctx, release) and not doubtful:
        _keep(ctx, release)
        return 0
    pull_mark.begin(ctx, release.image)
    pulled = 0
    if doubtful:
        ctx.log.warning("the power failed during a pull of %s: pulling it again", release.image)
        if not present(ctx, release):
            pulled += _pull(ctx, release)  # Docker deletes layers with their image only
        forget(ctx, release.image)
    pulled += _pull(ctx, release)
    ctx.files.sync_all()
    pull_mark.end(ctx, release.image)
    _keep(ctx, release)
    return pulled


def forget(ctx: Context, reference: str) -> bool:
    """Delete an image of a release; return False if it is missing or a container uses it."""
    repository, _, digest = reference.partition("@")
    image_keeper.release(ctx, digest)
    tagged = f"{repository}:thor-{digest.removeprefix('sha256:')[:12]}"
    if ctx.docker.image(tagged) is None:
        return ctx.docker.delete_image(reference)
    gone = ctx.docker.delete_image(tagged)
    if gone:
        ctx.docker.delete_image(reference)  # deleted with its last tag, except in containerd's store
    return gone


def _keep(ctx: Context, release: Release) -> None:
    """Protect the image from pruning: a tag against `image prune`, a container against `system prune`."""
    repository, _, tag = release.image_tag.rpartition(":")
    if not ctx.docker.tag_image(release.image, repository, tag):
        ctx.log.warning("%s could not be tagged: `docker image prune` would delete it", release.image)
    image_keeper.keep(ctx, release)


def _pull(ctx: Context, release: Release) -> int:
    """Pull the image, repeatedly if Docker restarts meanwhile; return the downloaded bytes.

    Layers that are on the disk are not fetched twice.
    """
    for left in reversed(range(PULLS)):
        try:
            return _pull_once(ctx, release)
        except AgentError as failed:
            if not (left and failed.details.get("docker_ended")):
                raise
            ctx.log.warning("%s The pull is repeated once Docker responds.", failed.message)
            ctx.docker.wait()
    raise AssertionError("unreachable")


def _pull_once(ctx: Context, release: Release) -> int:
    image = release.document["lock"]["image"]
    progress = PullProgress(image["compressed_bytes"])
    ctx.log.info("pulling %s", release.image)
    login = registry_login.headers(ctx, image["repository"])
    ended = False
    for message in ctx.docker.pull(image["repository"], image["digest"], login):
        if "error" in message:
            raise _failure(release, message)
        progress.feed(message)
        ended = ended or str(message.get("status", "")).startswith(_LAST_WORDS)
        ctx.progress.update(
            "image",
            release=release.id,
            done_bytes=progress.done_bytes,
            total_bytes=progress.total_bytes,
            message=release.image,
        )
    if not present(ctx, release):
        if not ended:
            raise _failure(release, {"error": "Docker ended in the middle of the pull", "broken": True})
        raise AgentError(
            "image_digest_mismatch",
            f"Docker pulled {release.image} but lists no image with that digest.",
            "Check the registry or its mirror, which served another image. If the lock is wrong: "
            "`thorctl lock PROFILE`.",
        )
    return progress.done_bytes


def _failure(release: Release, message: dict[str, Any]) -> AgentError:
    why = str(message["error"])
    details = {"image": release.image, "docker": why, "docker_ended": bool(message.get("broken"))}
    if _NO_SPACE.search(why):
        remedy = "Free space on the device (`sudo thor-agent gc`, `docker image prune`), then stage again."
        return AgentError("disk_too_small", f"The disk is full: {why}.", remedy, details=details)
    if _ABSENT.search(why):
        return AgentError(
            "image_not_found",
            f"The registry has no {release.image}: {why}.",
            "Push the image, or lock the digest that the registry has: `thorctl lock PROFILE`.",
            details=details,
        )
    for words, code, cause, remedy, retriable in _CAUSES:
        if re.search(words, why, re.IGNORECASE):
            return AgentError(
                code,
                f"{release.image} could not be pulled. {cause}: {why}.",
                f"{remedy} Stage again afterwards: complete layers are kept.",
                details={**details, "retriable": retriable},
            )
    return AgentError(
        "image_pull_failed",
        f"{release.image} could not be pulled: {why}.",
        "Check that the device reaches the registry, then stage again: complete layers are kept.",
        details={**details, "retriable": True},
    )
