"""Validate a profile's options of ``vllm serve`` and its environment variables.

Rules of vLLM's YAML configuration (``vllm/utils/argparse_utils.py``, ``load_config_file``): a flat map of
long option names; ``true`` becomes ``--key``; ``false`` was dropped without notice up to 0.19; lists become
several words; maps become one JSON string.
"""

from __future__ import annotations

import math
import re
from typing import Any

from thorctl.files.schema import WrongKeyError

_OPTION = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][\w./-]*")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_SECRET = re.compile(r"(^|_)[A-Z0-9]*(TOKEN|KEY|SECRET|PASSWORD|PASSWD|CREDENTIAL)S?(_|$)")

# Option -> why a profile cannot set it.
REFUSED = {
    "host": "the engine always listens on its Unix socket",
    "uds": "the engine always listens on its own Unix socket",
    "model": "the model is always /models/checkpoint, the verified files of the lock",
    "config": "this map is the configuration file",
    "api-key": "a profile must not have secrets, and vLLM prints this one in its log",
    "enable-log-requests": "the device's journal must not have prompts",
    "enable-log-outputs": "the device's journal must not have answers",
    "log-error-stack": "it writes rejected requests to the device's journal",
    "trust-remote-code": "code from a checkpoint does not run on a device",
    "download-dir": "nothing is downloaded at start",
    "tokenizer": "the tokenizer is the checkpoint's, pinned by the lock",
    "revision": "the lock pins the commit",
}

# Set by deploy/templates/engine.env.j2 for every engine.
RESERVED_ENVIRONMENT = frozenset(
    {"HOME", "PATH", "USER", "LOGNAME", "PYTHONNOUSERSITE", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"}
    | {"VLLM_HOST_IP", "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"}
    | {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK"}
    | {"VLLM_CACHE_ROOT", "CUDA_CACHE_PATH", "CUDA_CACHE_MAXSIZE", "TRITON_CACHE_DIR"}
    | {"TORCHINDUCTOR_CACHE_DIR", "FLASHINFER_WORKSPACE_BASE", "VLLM_ENGINE_READY_TIMEOUT_S"}
)


def check_options(options: dict[str, Any]) -> None:
    """Raise WrongKeyError with a remedy for an option that vLLM would misread."""
    for option, value in options.items():
        if option in REFUSED or option.replace("_", "-") in REFUSED:
            raise WrongKeyError(
                option, f"{option!r} cannot be set here: {REFUSED[option.replace('_', '-')]}; remove it"
            )
        if not _OPTION.fullmatch(option):
            raise WrongKeyError(
                option, f"{option!r} is not a long option name; write it in lower case with dashes"
            )
        _check_value(option, value)
    port = options.get("port")
    if isinstance(port, bool) or not isinstance(port, int) or not 1024 <= port <= 65535:
        raise WrongKeyError("port", "'port' is required: a number from 1024 to 65535")
    served = options.get("served-model-name")
    if not isinstance(served, list) or not served:
        raise WrongKeyError("served-model-name", "'served-model-name' is required: a list such as [my-model]")
    for name in served:
        if not isinstance(name, str) or not _MODEL_NAME.fullmatch(name):
            raise WrongKeyError(
                "served-model-name", f"'served-model-name' {name!r}: letters, digits and . _ / - only"
            )


ENGINE_FOLDER = "/etc/thor-engine/"  # the release's files in the container
RENDERED = frozenset({"serve.yaml", "engine.env", "thor-engine.service", "release.json"})


def check_engine_files(options: dict[str, Any], files: tuple[str, ...]) -> None:
    """Raise WrongKeyError if an option's file is missing in the release, or a file's name is taken."""
    for name in files:
        if name in RENDERED or files.count(name) > 1:
            raise WrongKeyError("engine_files", f"engine_files: {name!r} is the name of another file")
    for option, value in options.items():
        if not (isinstance(value, str) and value.startswith(ENGINE_FOLDER)):
            continue
        name = value.removeprefix(ENGINE_FOLDER)
        if name not in files:
            raise WrongKeyError(
                option, f"{option!r}: {name!r} is not in engine_files, so it would be missing there"
            )


def _check_value(option: str, value: object) -> None:
    if value is False:
        positive = option.removeprefix("no-")
        other = positive if option.startswith("no-") else f"no-{option}"
        raise WrongKeyError(option, f"'{option}: false' is dropped by vLLM; write '{other}: true'")
    if value is None or value in ("", [], {}):
        raise WrongKeyError(option, f"{option!r} has no value; give one or remove the key")
    if isinstance(value, list):
        if any(isinstance(item, (bool, list, dict)) or item is None for item in value):
            raise WrongKeyError(option, f"{option!r}: a list may have words and numbers only")
        if any(isinstance(item, str) and item.startswith("-") for item in value):
            raise WrongKeyError(
                option, f"{option!r}: an item that begins with a dash would be read as an option"
            )
    _check_text(option, value)


def _check_text(option: str, value: object) -> None:
    """Check nested values: only JSON types, only printable text."""
    match value:
        case str():
            if not all(character.isprintable() or character == "\n" for character in value):
                raise WrongKeyError(option, f"{option!r} has an unprintable character")
        case float():
            if not math.isfinite(value):
                raise WrongKeyError(option, f"{option!r}: {value} is not a number that vLLM accepts")
        case bool() | int() | None:
            pass
        case list():
            for item in value:
                _check_text(option, item)
        case dict():
            for key, item in value.items():
                _check_text(option, item)
                if not isinstance(key, str):
                    raise WrongKeyError(option, f"{option!r}: the key {key!r} must be text; put it in quotes")
        case _:
            raise WrongKeyError(option, f"{option!r}: {value!r} must be text; put it in quotes")


def check_environment(variables: dict[str, str]) -> None:
    """Raise WrongKeyError for reserved, secret or invalid names, and for invalid values."""
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(name):
            raise WrongKeyError(name, f"{name!r} is not a variable name; use capitals, digits and _")
        if _SECRET.search(name):
            raise WrongKeyError(
                name, f"{name!r} looks like a secret; secrets live in the device's /etc/thor/secrets.env"
            )
        if name in RESERVED_ENVIRONMENT:
            raise WrongKeyError(name, f"{name!r} is set by thorctl for every engine; remove it")
        # docker --env-file reads the line literally: no quotes, no escapes, no second line.
        if not value.isprintable() or value != value.strip():
            raise WrongKeyError(
                name, f"{name!r}: the value must be one printable line without blanks around it"
            )
