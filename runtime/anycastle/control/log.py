"""Structured log lines (logfmt) for the journal."""

from __future__ import annotations

from typing import TextIO

import structlog


def configure(stream: TextIO) -> None:
    """The journal adds times and priorities; a line here is level, event, fields."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["level", "event"], drop_missing=True),
        ],
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
