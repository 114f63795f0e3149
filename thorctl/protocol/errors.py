"""Error codes: what each means, and what a process exits with because of it.

A code is stable: programs decide by it. The message and the remedy, which name values, are built where the
error is raised; docs/how-to/troubleshoot.md has the way out of each. Those that only thorctl raises stand in
``controller_errors``: the agent reads its modules from source at each start, and needs none of them.
"""

from __future__ import annotations

from typing import NamedTuple

# Exit codes of thor-agent.
DONE, FAILED, BAD_STATE, BUSY = 0, 1, 2, 3
SIGNAL = 128  # plus the number of the signal that ended the verb, as shells count
# Exit codes of thorctl.
SUCCESS, ERROR, USAGE, PARTIAL, LEASED, DECLINED = 0, 1, 2, 3, 4, 5
INTERRUPTED = 130


class ErrorCode(NamedTuple):
    """One error code.

    Attributes:
        meaning: the condition, one sentence.
        exit_code: of thorctl, where the error is the command's and not that of one device among others.
        agent_exit_code: of thor-agent.
    """

    meaning: str
    exit_code: int = ERROR
    agent_exit_code: int = FAILED


# Of thor-agent; thorctl raises some of them too.
AGENT_ERRORS = {
    "account_missing": ErrorCode("The account that downloads is missing on the device."),
    "bad_call": ErrorCode("The verb was called with invalid arguments.", USAGE, BAD_STATE),
    "bad_state": ErrorCode(
        "The verb is not possible in the device's present state.", agent_exit_code=BAD_STATE
    ),
    "bench_failed": ErrorCode("The benchmark measured nothing that may be reported."),
    "busy": ErrorCode("Another verb is at work on the device.", LEASED, BUSY),
    "disk_read_only": ErrorCode("A disk of the device is read-only."),
    "disk_too_small": ErrorCode("A disk has too little free space."),
    "docker_busy": ErrorCode("Docker is still removing a container."),
    "docker_unavailable": ErrorCode("The Docker engine is not installed or does not answer."),
    "download_interrupted": ErrorCode("The connection to the hub broke during the download."),
    "engine_died": ErrorCode("The engine ended before it was ready."),
    "engine_not_ready": ErrorCode("The engine is stopped, or was not ready in the release's time."),
    "fetcher_exceeded": ErrorCode("The fetcher wrote more bytes than the lock has."),
    "fetcher_failed": ErrorCode("The fetcher failed in a way that has no code of its own."),
    "fetcher_not_stopped": ErrorCode("Processes of the fetcher remain after it was stopped."),
    "file_missing": ErrorCode("A file of the checkpoint is missing on the hub or on the device."),
    "file_wrong_hash": ErrorCode("A file of the checkpoint has another SHA-256 than the lock."),
    "file_wrong_size": ErrorCode("A file of the checkpoint has another size than the lock."),
    "held": ErrorCode("The device's hold forbids the change.", agent_exit_code=BUSY),
    "hub_answer_invalid": ErrorCode("The answer is not that of a model hub."),
    "hub_clock": ErrorCode("The hub's certificate is not valid by the machine's clock."),
    "hub_denied": ErrorCode("The hub denies access to the checkpoint."),
    "hub_limited": ErrorCode("The hub limits the requests of this machine."),
    "hub_name_unknown": ErrorCode("The hub's name cannot be resolved."),
    "hub_proxy_failed": ErrorCode("The proxy does not reach the hub, or needs a login."),
    "hub_stalled": ErrorCode("The hub stopped sending."),
    "hub_unavailable": ErrorCode("The hub or its storage answers with a server error."),
    "hub_unreachable": ErrorCode("The hub cannot be reached."),
    "hub_untrusted": ErrorCode("The hub's certificate is not trusted."),
    "image_digest_mismatch": ErrorCode("Docker does not list the pulled image under its digest."),
    "image_entrypoint_missing": ErrorCode("The image has no entrypoint that can be started."),
    "image_not_found": ErrorCode("The registry does not have the image."),
    "image_pull_failed": ErrorCode("Docker could not pull the image."),
    "image_user_unusable": ErrorCode("The engine does not start as the user that the profile names."),
    "image_volume_refused": ErrorCode("The image declares a volume over a path of the release."),
    "incoming_unsafe": ErrorCode("The download directory holds something that is not a regular file."),
    "internal": ErrorCode("A fault of the program, or a signal that ended it."),
    "interrupted": ErrorCode("The verb or command was ended before it had an answer.", INTERRUPTED),
    "journal_corrupt": ErrorCode("The journal of the device cannot be read."),
    "leased": ErrorCode("Another holder has the device's lease.", LEASED, BUSY),
    "no_way_back": ErrorCode(
        "The current release could not be restored after an activation.", agent_exit_code=BAD_STATE
    ),
    "not_staged": ErrorCode("The release is not whole on the device.", agent_exit_code=BAD_STATE),
    "nothing_to_roll_back": ErrorCode("No earlier release was committed.", agent_exit_code=BAD_STATE),
    "port_in_use": ErrorCode("Another program uses the port of the engine."),
    "preflight_failed": ErrorCode("A check of preflight failed."),
    "registry_clock": ErrorCode("The registry's certificate is not valid by the machine's clock."),
    "registry_denied": ErrorCode("The registry denies access to the image."),
    "registry_limited": ErrorCode("The registry limits the requests of this machine."),
    "registry_proxy_failed": ErrorCode("The proxy does not reach the registry, or needs a login."),
    "registry_unavailable": ErrorCode("The registry answers with a server error."),
    "registry_untrusted": ErrorCode("The registry's certificate is not trusted."),
    "release_conflict": ErrorCode(
        "Another document has the release's name on the device.", agent_exit_code=BAD_STATE
    ),
    "release_invalid": ErrorCode("The release document is invalid.", agent_exit_code=BAD_STATE),
    "smoke_failed": ErrorCode("The smoke test of the release failed."),
    "smoke_missing": ErrorCode(
        "No smoke test has passed since the release was activated.", agent_exit_code=BAD_STATE
    ),
    "storage_missing": ErrorCode("The disk with the device's data is not mounted."),
}


def agent_exit_code(code: str) -> int:
    """Return thor-agent's exit code for ``code``; 1 if the table lacks it."""
    return AGENT_ERRORS[code].agent_exit_code if code in AGENT_ERRORS else FAILED
