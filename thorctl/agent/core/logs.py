"""Messages for people (with --json-logs, for machines) on stderr. Stdout belongs to the one JSON object."""

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
    """The agent's logger. A reader that went away (lost SSH connection) is no reason to stop working."""
    logging.raiseExceptions = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if as_json else logging.Formatter("thor-agent: %(message)s"))
    logger = logging.getLogger("thor-agent")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return logger
