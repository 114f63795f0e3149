"""Render a release from profile, lock and device class. Preview and playbooks call the same function."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from thorctl import shipped
from thorctl.errors import ThorError
from thorctl.files.schema import WrongKeyError
from thorctl.files.templates import render
from thorctl.release import memory as release_memory
from thorctl.release import vllm_options
from thorctl.release.document import Release, RenderedFile, make
from thorctl.release.lock import require_license, require_match
from thorctl.release.model_config import ModelFigures
from thorctl.release.systemd_quote import word
from thorctl.release.vllm_options.values import number

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.release.device_class import DeviceClass
    from thorctl.release.lock import Lock
    from thorctl.release.profile import Profile

# The files of a release, each rendered from <name>.j2.
FILES = ("serve.yaml", "engine.env", "thor-engine.service")
ENGINE = "engine"  # folder beside the templates: files that run inside vLLM

SOCKET = "/run/engine/engine.sock"  # in the container
# The socket's mode follows the umask; its directory restricts the access.
COMMAND = 'umask 0; exec "$0" "$@"'
CONTEXT = "max-model-len"
LONG_CONTEXT = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"
SHUTDOWN = "shutdown-timeout"  # time that vLLM gives requests in flight after SIGTERM
SHUTDOWN_SECONDS = 60  # 1,500 tokens of four streams took 7 s on a GPU; a Thor decodes seven times slower
STOP_MARGIN_SECONDS = 20  # afterwards: an idle engine exits within 4 s


def render_release(profile: Profile, lock: Lock, device_class: DeviceClass, templates: Path) -> Release:
    """Render a release. Deterministic: the same input gives the same id on any machine.

    Reads only templates and, for a profile's engine_files, files of the folder ``engine`` beside them: the
    project's if it has them, else the shipped ones.

    Args:
        profile: what to serve.
        lock: the profile's exact bytes.
        device_class: the device's properties.
        templates: the project's folder of templates; it may lack some or all.

    Raises:
        ThorError: ``lock_mismatch``, ``license_*``, ``device_class_mismatch``, ``platform_mismatch``,
            ``option_refused``, ``model_not_locked``, ``memory_not_computed``, ``memory_exceeds_device``,
            ``engine_file_missing``, or as `files.templates.render`.
    """
    require_match(profile, lock)
    require_license(profile, lock)
    require_fit(profile, lock, device_class)
    options, memory = release_memory.effective(profile, lock, device_class)
    options = served(options, lock)
    require_options(profile, lock, {**options, "uds": SOCKET})
    values = {
        "options": options,
        "profile": profile,
        "lock": lock,
        "device_class": device_class,
        "image": lock.image.local_tag,
        "socket": SOCKET,
        "command": COMMAND,
        "stop_seconds": int(options.get(SHUTDOWN, 0)) + STOP_MARGIN_SECONDS,
    }
    texts = render(templates.parent, templates.name, FILES, values, {"yaml": yaml_value, "word": word})
    files = {name: RenderedFile(mode="0444", content=text) for name, text in texts.items()}
    for name in profile.engine_files:
        files[name] = RenderedFile(mode="0444", content=engine_file(templates.parent, name))
    _require_plugins(profile, options, files)
    return make(profile, lock, device_class, options=options, memory=memory, files=files)


def served(options: dict[str, Any], lock: Lock) -> dict[str, Any]:
    """Return the effective options: without the door's port, with a graceful stop if supported."""
    found = {name: value for name, value in options.items() if name != "port"}
    if SHUTDOWN not in found and vllm_options.takes(SHUTDOWN, lock.image.vllm_version):
        found[SHUTDOWN] = SHUTDOWN_SECONDS
    return found


def engine_file(deploy: Path, name: str) -> str:
    """Return the text of a file of ``engine`` in the project, else of the shipped one.

    Raises:
        ThorError: ``engine_file_missing``; lists the files.
    """
    file = shipped.find(deploy, ENGINE, name)
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        places = shipped.folders(deploy, ENGINE)
        known = sorted({path.name for place in places for path in place.glob("*") if path.is_file()})
        raise ThorError(
            "engine_file_missing",
            f"{file}, named in engine_files, cannot be read as text.",
            f"Name one of: {', '.join(known) or '(none)'}.",
        ) from error


def require_fit(profile: Profile, lock: Lock, device_class: DeviceClass) -> None:
    """Reject a device class that the profile excludes, or that cannot run the locked image."""
    if device_class.name not in profile.device_classes:
        raise ThorError(
            "device_class_mismatch",
            f"Profile {profile.name!r} is not made for device class {device_class.name!r}.",
            f"Choose one of {', '.join(profile.device_classes)}, or add it to the profile's device_classes.",
        )
    if lock.image.platform not in device_class.platforms:
        raise ThorError(
            "platform_mismatch",
            f"The image in the lock of {profile.name!r} is for {lock.image.platform}; "
            f"{device_class.name} runs {', '.join(device_class.platforms)}.",
            f"Lock for that platform: `thorctl lock {profile.name} --platform {device_class.platforms[0]}`.",
        )


def require_options(profile: Profile, lock: Lock, options: dict[str, Any]) -> None:
    """Reject options that the locked image's vLLM does not accept, before a device does.

    Raises:
        ThorError: ``option_refused``.
    """
    try:
        vllm_options.check(options, lock.image.vllm_version)
        _check_context(profile, lock, options)
    except WrongKeyError as error:
        raise ThorError(
            "option_refused",
            f"Profile {profile.name!r}: {error}.",
            f"Correct `serve:` there, or lock an image whose vLLM accepts it: `thorctl lock {profile.name}`.",
        ) from error


def _require_plugins(profile: Profile, options: dict[str, Any], files: dict[str, RenderedFile]) -> None:
    """Reject a parser that is neither vLLM's own nor registered by the profile's plugin."""
    for parser, plugin in vllm_options.PLUGINS.items():
        name, file = options.get(parser), str(options.get(plugin, "")).rpartition("/")[2]
        if name is None or file not in files or vllm_options.is_registered(parser, str(name)):
            continue
        if not any(f"{quote}{name}{quote}" in files[file].content for quote in "\"'"):
            raise ThorError(
                "option_refused",
                f"Profile {profile.name!r}: {parser!r} is {name!r}, which {file} does not register.",
                f"Name the parser as {file} does (`register_module`), or one of vLLM's own.",
            )


def _check_context(profile: Profile, lock: Lock, options: dict[str, Any]) -> None:
    """Reject a context longer than the model's, as vLLM does unless overrides or a variable allow it."""
    model, wanted = lock.checkpoint.model, options.get(CONTEXT)
    allowed = profile.environment.get(LONG_CONTEXT, "0").lower() in {"1", "true"}
    if not isinstance(model, ModelFigures) or wanted is None or "hf-overrides" in options or allowed:
        return
    if str(wanted).lower() != "auto" and number(wanted) > model.context_tokens:
        raise WrongKeyError(
            CONTEXT,
            f"{CONTEXT!r} is {number(wanted):,}, but the model's contexts end at {model.context_tokens:,} "
            f"tokens; lower it, extend the model by 'hf-overrides', or set {LONG_CONTEXT}: \"1\" "
            "under `environment:` (answers beyond the end may be nonsense)",
        )


def yaml_value(value: Any) -> str:
    """Format a value as JSON that YAML 1.1 (PyYAML in vLLM) and 1.2 read alike.

    PyYAML reads ``1e-05`` as text: its floats need a point.
    """
    match value:
        case bool() | int() | str() | None:
            return json.dumps(value, ensure_ascii=False)
        case float():
            text = repr(value)
            return text if "." in text else text.replace("e", ".0e")
        case dict():
            return (
                "{" + ", ".join(f"{yaml_value(key)}: {yaml_value(item)}" for key, item in value.items()) + "}"
            )
        case list() | tuple():
            return "[" + ", ".join(yaml_value(item) for item in value) + "]"
    raise TypeError(f"not a YAML value: {value!r}")
