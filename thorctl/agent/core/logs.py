"""Log messages on stderr, as text or (--json-logs) JSON. Stdout is for the one JSON object."""

from __future__ import annotations

import json
import logging
import sys

from thorctl.agent.core.clock import as_text


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": as_text(record.created),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def make_logger(*, as_json: bool) -> logging.Logger:
    """Return the agent's logger, which ignores a closed stderr (lost SSH connection)."""
    logging.raiseExceptions = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if as_json else logging.Formatter("thor-agent: %(message)s"))
    logger = logging.getLogger("thor-agent")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return logger
