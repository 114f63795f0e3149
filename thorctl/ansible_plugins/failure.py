"""Format a failed verb for an operator: error, reason, remedy, and the switch that skips it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thorctl.remote.answer import Answer

BUSY = frozenset({"busy", "leased", "held"})
TEXT_CHARACTERS = 200


def failure_text(answer: Answer) -> str:
    """Return ``code: message — remedy``, and below it each failed check. ``answer`` must be a failure."""
    assert answer.error is not None  # noqa: S101  # the caller's promise, for the type checker
    error = answer.error
    if error.code == "preflight_failed":
        counts = answer.data.get("counts") or {}
        head = f"preflight_failed: {counts.get('fail')} of {sum(counts.values())} checks failed."
        return "\n".join([head, *preflight_lines(answer.data)])
    lines = [f"{error.code}: {error.message} — {error.remedy}"]
    if error.code in BUSY:
        lines += holder_lines(answer)
    return "\n".join([*lines, *smoke_lines(answer.data)])


def holder_lines(answer: Answer) -> list[str]:
    """Return the holder of the device, from the error's details."""
    details = ((answer.object or {}).get("error") or {}).get("details") or {}
    known = [f"{key}: {value}" for key, value in sorted(details.items()) if isinstance(value, str | int)]
    return [f"  {', '.join(known)}"] if known else []


def preflight_lines(data: dict[str, Any]) -> list[str]:
    """Return one paragraph per failed check: found and wanted value, the remedy, the switch."""
    lines = []
    for item in data.get("items") or []:
        if item["status"] != "fail":
            continue
        lines.append(f"  {item['name']}: {item['message']} Found {item['found']}, wanted {item['wanted']}.")
        lines.append(f"    remedy: {item['remedy']}")
        lines.append(f"    to skip this check: -e thor_preflight_skip={item['name']}")
    return lines


def smoke_lines(data: dict[str, Any]) -> list[str]:
    """Return one line per failed generation: its checks, the first reason, and the text.

    Below them one per other failed check.
    """
    lines = []
    told = set()
    for generation in data.get("generations") or []:
        failed = generation.get("failed_checks") or []
        if failed:
            told |= {one["check"] for one in failed}
            checks = ", ".join(one["check"] for one in failed)
            text = shorten((generation["answer"] or generation.get("thinking") or "").strip())
            lines.append(f"  {generation['prompt_name']}: {checks}: {failed[0]['detail']} — text {text!r}")
    others = [
        one for one in data.get("results") or [] if one["result"] == "failed" and one["name"] not in told
    ]
    return lines + [f"  {one['name']}: {one['reason']}" for one in others]


def generation_line(generation: dict[str, Any]) -> str:
    """Format one generation of a smoke test: prompt, text, tokens and seconds."""
    mark = "FAILED" if generation.get("failed_checks") else "ok"
    tokens = "? tokens" if generation["tokens"] is None else f"{generation['tokens']} tokens"
    answer = shorten(generation["answer"].strip())
    return (
        f"{mark} {generation['prompt_name']}: {generation['prompt']!r} → {answer!r}"
        f" ({tokens}, {generation['seconds']:.1f} s)"
    )


def shorten(text: str) -> str:
    """Shorten text to one line."""
    return text if len(text) <= TEXT_CHARACTERS else text[:TEXT_CHARACTERS] + "…"


def standing(
    device: str,
    status: dict[str, Any],
    rollback: dict[str, Any],
    after: dict[str, Any],
    review: dict[str, Any] | None = None,
) -> str:
    """Describe a device's state after a failed smoke test.

    Args:
        device: its name.
        status: data of the agent's ``status`` before the rollback.
        rollback: the rollback task's result; skipped if the device was not on trial.
        after: result of the restored release's smoke test; skipped without one.
        review: result of keeping it for review; skipped if not requested or not possible.
    """
    kept = (review or {}).get("agent") or {}
    if kept.get("ok") is True:
        data = kept["data"]
        return (
            f"{device} keeps {data['release']} for review until {data['deadline']}. Test it: thorctl"
            f" chat {device}. Then keep it: thorctl commit {device} --accept-failed-smoke REASON; or end it:"
            f" thorctl rollback {device}."
        )
    if rollback.get("skipped"):
        return f"{device} is {status.get('state')} and serves {status.get('release') or 'nothing'}"
    agent = rollback.get("agent") or {}
    if agent.get("ok") is not True:
        return f"{device} could not be rolled back: {rollback.get('msg')}"
    data = agent["data"]
    refused = "" if review is None or review.get("skipped") else f"It was not kept: {review.get('msg')}. "
    back = f"{refused}{device} rolled back: it is {data['state']} and serves {data['release'] or 'nothing'}"
    if after.get("skipped"):
        return back
    if (after.get("agent") or {}).get("ok") is True:
        return f"{back}, which passed its smoke test."
    return f"{back}, which failed its smoke test too: {after.get('msg')}"
