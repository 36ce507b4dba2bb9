"""How the daemon logs: structlog, one line an event on stderr, as JSON for machines or as text for people.

The standard library's loggers (asyncio's, aiohttp's) take the same way out. Called once, by the composition root.
"""

import logging
import sys
from typing import TextIO

import structlog

from daemon.config import LogFormat, LogLevel

_tracebacks = structlog.processors.ExceptionRenderer(
    # without the frames' variables: a request or the configuration may hold a secret
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure(form: LogFormat, level: LogLevel, stream: TextIO | None = None) -> None:
    """Set structlog and the standard library up; the last call counts."""
    out = stream or sys.stderr
    threshold = getattr(logging, level.name)
    before: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    shown = _shown(form, colours=out.isatty())
    structlog.configure(
        processors=[*before, *shown],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*before, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shown],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(threshold, logging.INFO))


def _shown(form: LogFormat, *, colours: bool) -> list[structlog.typing.Processor]:
    match form:
        case LogFormat.JSON:
            return [_tracebacks, structlog.processors.JSONRenderer()]
        case LogFormat.TEXT:
            plain = structlog.dev.plain_traceback
            return [structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=plain)]
