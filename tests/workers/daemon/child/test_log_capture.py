"""Test the capture of log records beside the handlers of a project."""

from __future__ import annotations

import logging
import logging.config
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskmaster.workers.daemon.child.log_capture import LogCapture, LogState, capture_log
from taskmaster.workers.daemon.child.outbox import ChildOutbox


class Received(logging.Handler):
    """Keep the messages of the records."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def bare_root() -> Iterator[logging.Logger]:
    """Take all handlers, also those of pytest, from the root logger, and restore them."""
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    logger.handlers.clear()
    logger.setLevel(logging.WARNING)
    try:
        yield logger
    finally:
        logger.handlers[:] = handlers
        logger.setLevel(level)


@pytest.fixture
def outbox() -> Iterator[ChildOutbox]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ChildOutbox(theirs)


def test_handlers_of_the_project_stay_and_terminals_are_left_out(
    outbox: ChildOutbox, tmp_path: Path
) -> None:
    received, file = Received(), logging.FileHandler(tmp_path / "log")
    with bare_root() as root, open(2, "w", closefd=False) as stderr:
        terminal = logging.StreamHandler(stderr)
        for handler in (terminal, received, file):
            root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        capture = capture_log(outbox)
        assert root.handlers == [received, file, capture]
        assert root.level == logging.DEBUG
        logging.getLogger("shop").debug("sold")
    file.close()
    assert received.messages == ["sold"]
    assert (tmp_path / "log").read_text() == "sold\n"


def test_a_root_logger_without_configuration_gets_info(outbox: ChildOutbox) -> None:
    with bare_root() as root:
        capture_log(outbox)
        assert root.level == logging.INFO


@pytest.mark.parametrize(
    "change",
    [
        lambda: logging.config.dictConfig({"version": 1}),
        lambda: logging.basicConfig(force=True, stream=sys.stderr),
        lambda: logging.disable(logging.ERROR),
        lambda: logging.getLogger().setLevel(logging.ERROR),
        lambda: logging.getLogger().removeHandler(logging.getLogger().handlers[0]),
        lambda: logging.getLogger().addFilter(lambda _: False),
    ],
)
def test_a_changed_configuration_is_restored(outbox: ChildOutbox, change: object) -> None:
    received, shop = Received(), logging.getLogger("shop")
    with bare_root() as root:
        root.addHandler(received)
        capture: LogCapture = capture_log(outbox)
        root.setLevel(logging.INFO)
        state = LogState(capture)
        assert not state.is_changed
        change()  # type: ignore[operator]
        assert state.is_changed
        state.restore()
        assert not state.is_changed
        shop.info("sold")
    assert received.messages == ["sold"]
