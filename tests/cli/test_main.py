"""The command line as a whole: JSON wherever it is asked for, one error shape, help for every verb."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from tests.support.doubles.command_line import thorctl
from thorctl import __version__
from thorctl.cli.main import VERBS, cli, run

if TYPE_CHECKING:
    from collections.abc import Iterator


def installed(*words: str) -> subprocess.CompletedProcess[str]:
    """The installed console script, as a person runs it."""
    script = Path(sys.executable).with_name("thorctl")
    return subprocess.run([str(script), *words], capture_output=True, text=True, check=False)


def test_without_words_the_help_is_shown() -> None:
    done = installed()
    assert (done.returncode, done.stderr) == (0, "")
    shown = " ".join(done.stdout.split())  # as it was before click broke it into lines
    assert all(f"{verb} {promise}" in shown for verb, promise in VERBS.items())


def test_a_group_without_a_verb_shows_its_help() -> None:
    done = thorctl("edge", "keys")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: thorctl edge keys")


def test_version() -> None:
    assert installed("--version").stdout == f"thorctl, version {__version__}\n"


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_help(verb: str) -> None:
    done = CliRunner().invoke(cli, [verb, "--help"])
    assert done.exit_code == 0, done.output
    assert "Usage:" in done.output


def groups(command: click.Command, context: click.Context) -> Iterator[tuple[click.Group, click.Context]]:
    """A group and all groups below it."""
    if not isinstance(command, click.Group):
        return
    yield command, context
    for name in command.list_commands(context):
        if found := command.get_command(context, name):
            yield from groups(found, click.Context(found, info_name=name, parent=context))


def test_each_option_has_help() -> None:
    silent = [
        f"{context.command_path} {name} {option.name}"
        for group, context in groups(cli, click.Context(cli, info_name="thorctl", **cli.context_settings))
        for name in group.list_commands(context)
        if (command := group.get_command(context, name))
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]
    assert silent == []


def test_help_of_each_command_is_one_whole_line_of_80_columns() -> None:
    broken = {}
    for group, context in groups(cli, click.Context(cli, info_name="thorctl", **cli.context_settings)):
        formatter = click.HelpFormatter(width=78)  # what click uses of 80 columns
        group.format_commands(context, formatter)
        lines = [line for line in formatter.getvalue().splitlines()[1:] if line]
        commands = len(group.list_commands(context))
        whole = all(len(line) <= 80 and not line.endswith(("...", "…")) for line in lines)
        if len(lines) != commands or not whole:
            broken[context.command_path] = lines
    assert broken == {}


@pytest.mark.parametrize("place", [0, 1, 3])
def test_json_may_stand_anywhere(project: Path, place: int) -> None:
    words = ["lock", "nobody", "--check"]
    words.insert(place, "--json")
    done = thorctl("--project", str(project), *words)
    envelope = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (1, "")
    assert (envelope["command"], envelope["status"], envelope["exit_code"]) == ("lock", "error", 1)
    assert envelope["errors"][0]["code"] == "profile_unknown"


def test_an_error_for_people_goes_to_stderr_with_its_remedy(project: Path) -> None:
    done = installed("--project", str(project), "render", "nobody", "--out", str(project / "out"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "profile_unknown" in done.stderr
    assert "what to do: Name one of: " in done.stderr


EARLY = {
    "nearest verb": (["stauts"], "Did you mean 'status'?"),
    "nearest verb of a group": (["rollout", "strat"], "Did you mean 'start'?"),
    "verb of a group, begun": (["rollout", "stat"], "Did you mean 'status'?"),
    "verb of a group": (["lease", "frobnicate"], "Commands: "),
    "unknown verb": (["frobnicate"], f"Commands: {', '.join(sorted(VERBS))}."),
    "unknown option": (["lock", "x", "--chekc"], "--check"),
    "missing argument": (["lock"], "PROFILE"),
    "missing option": (["render", "x"], "--out"),
    "no project": (["--project", "/nowhere", "lock", "x"], "/nowhere"),
}


@pytest.mark.parametrize(("words", "sentence"), EARLY.values(), ids=EARLY.keys())
def test_even_an_early_failure_speaks_json(words: list[str], sentence: str) -> None:
    done = thorctl(*words, "--json")
    envelope = json.loads(done.stdout)
    assert (done.returncode, envelope["exit_code"], envelope["status"]) == (2, 2, "error")
    assert envelope["errors"][0]["code"] == "usage"
    assert sentence in envelope["errors"][0]["message"]


def test_a_wrong_value_from_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THORCTL_PROJECT", "/nowhere")
    result = run(["history"])
    assert result is not None
    (error,) = result.errors
    assert error.code == "usage"
    assert error.message == "Invalid value for THORCTL_PROJECT: Directory '/nowhere' does not exist."
    assert error.remedy == "Correct the environment variable THORCTL_PROJECT, or unset it."


@pytest.mark.parametrize("words", [["status", "-i", "x"], ["status", "--project", "x"]])
def test_option_of_all_verbs_after_the_verb_is_told_where_it_stands(words: list[str]) -> None:
    result = run(words)
    assert result is not None
    assert result.errors[0].remedy == f"Put it before the verb: `thorctl {words[1]} … status`."


def test_a_malformed_profile_is_named_with_file_and_line(project: Path) -> None:
    path = project / "deploy" / "profiles" / "tiny-qwable.yml"
    path.write_text(path.read_text().replace("port: 8000", "port: 8000: 1"))
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "port:" in text)
    result = run(["--project", str(project), "lock", "tiny-qwable"])
    assert result is not None
    assert result.errors[0].code == "yaml_malformed"
    assert result.errors[0].message.startswith(f"{path}:{line}:")


def test_help_does_not_wait_for_heavy_imports() -> None:
    heavy = "{'asyncssh', 'docker', 'huggingface_hub'}"
    code = f"import sys; from thorctl.cli import main; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_reader_that_goes_away_is_no_crash(project: Path) -> None:
    script = Path(sys.executable).with_name("thorctl")
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        done = subprocess.run(
            [str(script), "--project", str(project), "lock", "nobody", "--json"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "")


def test_folder_that_is_no_project_is_named(tmp_path: Path) -> None:
    done = thorctl("--project", str(tmp_path), "--json", "render", "tiny-qwable")
    error = json.loads(done.stdout)["errors"][0]
    assert (done.returncode, error["code"]) == (2, "project_not_found")
    assert str(tmp_path) in error["message"]
