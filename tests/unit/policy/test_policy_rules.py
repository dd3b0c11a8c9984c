"""Every rule on every kind of case."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from policy.pack import refusal, resource_findings, stack_findings
from policy.rule import Resource, ResourceRule, Rule, StackRule, Unknowns
from policy.rules import BOOK
from policy.settings import Settings, load
from policy.values import NotKnown
from tests.unit.policy.cases import ALWAYS_KNOWN, CASES, Subject


def findings(rule: Rule, subject: Subject, settings: Settings) -> Iterator[str]:
    if isinstance(rule, ResourceRule):
        assert isinstance(subject, Resource)
        assert subject.type in rule.types, f"{rule.name} does not read {subject.type}"
        yield from resource_findings(rule, subject, settings)
    else:
        assert isinstance(rule, StackRule)
        assert not isinstance(subject, Resource)
        yield from (item.message for item in stack_findings(rule, subject, settings))


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load(BOOK.names)


def test_every_rule_has_cases_of_each_kind() -> None:
    assert set(CASES) == set(BOOK.names)
    for name, cases in CASES.items():
        assert cases.passing, name
        assert cases.failing, name
        assert cases.unknown or name in ALWAYS_KNOWN, name


def subjects(kind: str) -> list[Any]:
    return [
        pytest.param(name, case, id=f"{name}-{number}")
        for name, cases in CASES.items()
        for number, case in enumerate(getattr(cases, kind))
    ]


@pytest.mark.parametrize(("name", "subject"), subjects("passing"))
def test_passes(name: str, subject: Subject, settings: Settings) -> None:
    try:
        assert list(findings(BOOK.names[name], subject, settings)) == []
    except NotKnown:
        assert BOOK.names[name].unknowns is Unknowns.WAIT


@pytest.mark.parametrize(("name", "case"), subjects("failing"))
def test_fails_and_says_what(name: str, case: tuple[Subject, str], settings: Settings) -> None:
    subject, words = case
    messages: list[str] = []
    rule = BOOK.names[name]
    with contextlib.suppress(NotKnown):  # what is known is reported before the rest is waited for
        messages.extend(findings(rule, subject, settings))
    assert any(words in message for message in messages), messages


@pytest.mark.parametrize(("name", "subject"), subjects("unknown"))
def test_unknown_values_refuse_or_wait(name: str, subject: Subject, settings: Settings) -> None:
    rule = BOOK.names[name]
    if rule.unknowns is Unknowns.WAIT:
        with pytest.raises(NotKnown):
            list(findings(rule, subject, settings))
    else:
        (message,) = list(findings(rule, subject, settings))
        assert "known only after `up`" in message


def test_every_message_says_what_to_do() -> None:
    for rule in BOOK.rules:
        assert rule.message("x").startswith("x. What to do: ")
        assert rule.promise[0].isupper()
        assert not rule.promise.endswith("."), rule.name
        assert rule.remedy[0].islower(), rule.name
        assert not rule.remedy.endswith("."), rule.name


def test_a_refusal_names_the_value() -> None:
    assert "a.b" in refusal(NotKnown("a.b"))
