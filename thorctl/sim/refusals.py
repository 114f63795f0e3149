"""Convert errors of the Docker engine to ThorErrors with a remedy."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def explained(simulation: str) -> Iterator[None]:
    """Wrap calls to the engine.

    Raises:
        ThorError: ``docker_refused`` for an error of the engine; ``docker_unavailable`` if it stopped.
    """
    try:
        yield
    except APIError as error:
        raise ThorError(
            "docker_refused",
            f"The Docker engine refused: {error.explanation or error}.",
            f"Remove what is there with `thorctl sim down --name {simulation}`, then repeat the command.",
        ) from error
    except (DockerException, RequestException) as error:
        raise ThorError(
            "docker_unavailable",
            f"The Docker engine stopped answering: {error}.",
            "Start it if it does not run (`scripts/engine status`, `scripts/engine start`), then "
            "repeat the command.",
        ) from error
