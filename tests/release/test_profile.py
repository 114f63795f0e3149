"""Profiles: the ones in deploy/ are valid; every mistake is named by file, line and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from thorctl.errors import ThorError
from thorctl.release import device_class, profile
from thorctl.release.profile import Profile

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", profile.names(CHECKOUT / "deploy"))
def test_every_profile_loads_and_its_classes_exist(name: str) -> None:
    loaded = profile.load(CHECKOUT / "deploy", name)
    for one in loaded.device_classes:
        device_class.load(CHECKOUT / "deploy", one)
    assert len(loaded.smoke.prompts) >= 5
    assert all(prompt.expect for prompt in loaded.smoke.prompts)


def test_the_demo_asks_what_its_model_was_checked_with() -> None:
    checked = YAML(typ="safe").load(CHECKOUT / "images" / "tiny-qwable" / "smoke.yml")
    asked = profile.load(CHECKOUT / "deploy", "tiny-qwable").smoke.prompts
    assert [prompt.model_dump() for prompt in asked] == checked


def test_the_model_cards_figures_are_those_of_the_card() -> None:
    card = profile.load(CHECKOUT / "deploy", "qwable-v1-nvfp4a16").card
    assert card is not None
    assert card.source_speed is not None
    assert "122 GB unified memory" in card.test_device.cpu_memory
    figures = [tuple(one.model_dump().values()) for one in (card.speed, card.source_speed)]
    assert figures == [(41.8, 330.8, 24.0), (30.3, 303.0, 67.0)]


def test_the_source_is_compared_with_itself() -> None:
    source = profile.load(CHECKOUT / "deploy", "qwable-v1-bf16").card
    quantized = profile.load(CHECKOUT / "deploy", "qwable-v1-nvfp4a16").card
    assert source is not None
    assert quantized is not None
    assert (source.speed, source.source_speed) == (quantized.source_speed, None)


def test_weights_that_fill_a_t4000_are_not_for_it() -> None:
    assert "jetson-t4000" in profile.load(CHECKOUT / "deploy", "qwable-v1-nvfp4a16").device_classes
    assert "jetson-t4000" not in profile.load(CHECKOUT / "deploy", "qwable-v1-bf16").device_classes


def test_an_unknown_profile_lists_those_there_are() -> None:
    with pytest.raises(ThorError, match=r"no profile 'tiny-quable'\. Did you mean 'tiny-qwable'\?") as caught:
        profile.load(CHECKOUT / "deploy", "tiny-quable")
    assert caught.value.code == "profile_unknown"
    assert ", ".join(profile.names(CHECKOUT / "deploy")) in caught.value.remedy


def test_a_path_is_not_a_profile() -> None:
    with pytest.raises(ThorError) as caught:
        profile.load(CHECKOUT / "deploy", "../profiles/tiny-qwable")
    assert caught.value.code == "profile_unknown"


# (what to replace, with what, the line it is then named on or None to look it up, a part of the sentence)
MISTAKES = {
    "unknown key": ("port: 8000", "prot: 8000", "serve:", "'port' is required"),
    "unknown key at the top": (
        "license:",
        "licence:",
        "licence:",
        "unknown key 'licence'. Did you mean 'license'?",
    ),
    "unknown nested key": (
        "  max_tokens:",
        "  max_token:",
        "max_token:",
        "unknown key 'max_token' in smoke. Did you mean 'max_tokens'?",
    ),
    "unknown key in a prompt": (
        "{name: sum, ask:",
        "{name: sum, asks:",
        "asks:",
        "unknown key 'asks' in smoke.prompts.1. Did you mean 'ask'?",
    ),
    "missing key": ("description:", "# description:", None, "description is missing"),
    "false option": (
        "enforce-eager: true",
        "enforce-eager: false",
        "enforce-eager:",
        "write 'no-enforce-eager: true'",
    ),
    "false negation": (
        "no-enable-prefix-caching: true",
        "no-enable-prefix-caching: false",
        "no-enable-prefix",
        "write 'enable-prefix-caching: true'",
    ),
    "host": (
        "port: 8000",
        "port: 8000\n  host: 0.0.0.0",
        "host:",
        "'host' cannot be set here: the engine always listens on its Unix socket",
    ),
    "underscore": ("max-model-len:", "max_model_len:", "max_model_len", "write it in lower case with dashes"),
    "key in the log": (
        "port: 8000",
        "port: 8000\n  api_key: x",
        "api_key",
        "a profile must not have secrets",
    ),
    "prompts in the log": (
        "port: 8000",
        "port: 8000\n  enable-log-requests: true",
        "enable-log-requests",
        "the device's journal must not have prompts",
    ),
    "code of strangers": (
        "port: 8000",
        "port: 8000\n  trust-remote-code: true",
        "trust-remote",
        "does not run on a device",
    ),
    "option without value": ("dtype: bfloat16", "dtype:", "dtype:", "'dtype' has no value"),
    "option in a list": (
        "[tiny-qwable]\n  port",
        "[tiny-qwable, --host]\n  port",
        "served-model-name",
        "would be read as an option",
    ),
    "date": ("dtype: bfloat16", "dtype: 2026-01-02", "dtype", "put it in quotes"),
    "infinite": ("dtype: bfloat16", "seed: .inf", "seed", "inf is not a number"),
    "port": ("port: 8000", "port: 80", "port: 80", "a number from 1024 to 65535"),
    "model name": (
        "served-model-name: [tiny-qwable]",
        "served-model-name: tiny",
        "served-model-name",
        "a list such as",
    ),
    "secret": ("\nready:", '\nenvironment:\n  HF_TOKEN: "1"\nready:', "HF_TOKEN", "secrets live in"),
    "reserved": (
        "\nready:",
        '\nenvironment:\n  HF_HUB_OFFLINE: "1"\nready:',
        "HF_HUB_OFFLINE",
        "set by thorctl",
    ),
    "number as text": (
        "\nready:",
        "\nenvironment:\n  OMP_NUM_THREADS: 1\nready:",
        "OMP_NUM_THREADS:",
        "valid string",
    ),
    "two lines": (
        "\nready:",
        '\nenvironment:\n  OMP_NUM_THREADS: "1\\nLD_PRELOAD=x"\nready:',
        "OMP_NUM",
        "one printable line",
    ),
    "no tag": ("cpu-vllm:0.32.0", "cpu-vllm", "reference:", "the tag are required"),
    "digest": ("cpu-vllm:0.32.0", "cpu-vllm@sha256:" + "0" * 64, "reference:", "the lock pins the digest"),
    "shell in the entrypoint": (
        "entrypoint: []",
        "entrypoint: [sh, -c, 'vllm $X']",
        "entrypoint:",
        "image.entrypoint.2",
    ),
    "endpoint": ("http://hub.thorctl.test", "hub.thorctl.test", "endpoint:", "checkpoint.endpoint"),
    "repository": ("thorctl/tiny-qwable\n", "../tiny-qwable\n", "repository:", "checkpoint.repository"),
    "regex": ('expect: "\\\\b4\\\\b"', 'expect: "(4"', 'expect: "(4"', "not a regular expression"),
    "too few": ("sequential: 8", "sequential: 3", "sequential:", "greater than or equal to 8"),
    "prompt twice": ("{name: sum,", "{name: sky,", "prompts:", "prompt name used twice: sky"),
    "version": ("schema: 1", "schema: 2", "schema:", "schema"),
    "other name": ("name: tiny-qwable\n", "name: tiny\n", None, "has name: tiny"),
    "class twice": (
        "[simulated-container, simulated-vm]",
        "[simulated-vm, simulated-vm]",
        None,
        "listed twice",
    ),
}


@pytest.mark.parametrize(("old", "new", "line", "sentence"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes(project: Path, old: str, new: str, line: str | None, sentence: str) -> None:
    path = project / "deploy" / "profiles" / "tiny-qwable.yml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ThorError, match=re.escape(sentence)) as caught:
        profile.load(project / "deploy", "tiny-qwable")
    assert caught.value.code == "profile_invalid"
    assert caught.value.remedy
    if line:
        number = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if line in text)
        assert f"{path}:{number}: " in caught.value.message


def test_all_mistakes_are_named_at_once(project: Path) -> None:
    path = project / "deploy" / "profiles" / "tiny-qwable.yml"
    path.write_text(
        path.read_text().replace("license:", "licence:").replace("sequential: 8", "sequential: 3")
    )
    with pytest.raises(ThorError) as caught:
        profile.load(project / "deploy", "tiny-qwable")
    assert {"licence", "license", "sequential"} <= set(re.findall(r"[a-z]+", caught.value.message))


def test_an_empty_file(project: Path) -> None:
    path = project / "deploy" / "profiles" / "empty.yml"
    path.write_text("# nothing yet\n")
    with pytest.raises(ThorError, match="no keys") as caught:
        profile.load(project / "deploy", "empty")
    assert caught.value.code == "profile_invalid"


def test_a_tokenizer_is_not_a_token(project: Path) -> None:
    path = project / "deploy" / "profiles" / "tiny-qwable.yml"
    path.write_text(path.read_text() + 'environment: {TOKENIZERS_PARALLELISM: "1"}\n')
    assert profile.load(project / "deploy", "tiny-qwable").environment == {"TOKENIZERS_PARALLELISM": "1"}


def test_every_key_is_described_or_named_after_its_section() -> None:
    """The manual is generated from these descriptions."""
    bare = [name for name, field in Profile.model_fields.items() if not field.description]
    assert sorted(bare) == ["checkpoint", "image", "ready", "smoke"]  # sections: their models describe them
