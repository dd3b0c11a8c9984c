from __future__ import annotations

from typing import Any

import pulumi
import pytest

from components import quiet


class Engine:
    def __init__(self) -> None:
        self.told: list[str] = []

    def Log(self, request: Any) -> str:  # noqa: N802 (as Pulumi's protocol has it)
        self.told.append(request.message)
        return "taken"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine()
    monkeypatch.setattr(quiet, "get_engine", lambda: made)
    monkeypatch.setattr("pulumi.log.get_engine", lambda: made)
    return made


def say() -> None:
    pulumi.log.debug("a detail")
    pulumi.log.info("news")
    pulumi.log.warn("a warning")
    pulumi.log.error("an error")


def test_only_debug_messages_are_kept_back(engine: Engine) -> None:
    quiet.hush({})
    say()
    assert engine.told == ["news", "a warning", "an error"]


def test_they_go_to_whoever_asks(engine: Engine) -> None:
    quiet.hush({quiet.VARIABLE: "1"})
    say()
    assert engine.told == ["a detail", "news", "a warning", "an error"]


def test_without_an_engine_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "get_engine", lambda: None)
    quiet.hush({})
