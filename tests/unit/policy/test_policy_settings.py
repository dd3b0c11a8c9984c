"""policy/config.yaml, and docs/policy.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy import document
from policy.rules import BOOK
from policy.settings import Level, Settings, SettingsFault, load, parse
from policy.values import UNKNOWN, NotKnown, each, leaves, look, yes

ROOT = Path(__file__).parents[3]


def test_the_shipped_file_is_right_and_spells_out_every_setting() -> None:
    settings = load(BOOK.names)
    assert all(settings.level(rule) is Level.MANDATORY for rule in BOOK.names)
    text = (ROOT / "policy" / "config.yaml").read_text()
    for field in Settings.__struct_fields__:
        assert f"\n{field}:" in text, f"policy/config.yaml does not show {field}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rules: {imdsv2: disabled}", "there is no rule 'imdsv2'; did you mean 'imdsv2-only'?"),
        ("rules: {imdsv2-only: loud}", "Invalid enum value 'loud' - at `$.rules[...]`"),
        ("turnover: 0", "$.turnover: 0.0 is no share"),
        ("turnover: 1.5", "$.turnover"),
        ("fewest_nodes: 0", "$.fewest_nodes: 0 is less than 1"),
        ("public_ports: [70000]", "70000 is no port"),
        ("turn_over: 1", "unknown field `turn_over`"),
        ("tags: deployment", "at `$.tags`"),
        ("tags: [", "config.yaml"),
    ],
)
def test_a_wrong_setting_is_named(text: str, words: str) -> None:
    with pytest.raises(SettingsFault) as caught:
        parse(text, BOOK.names)
    assert words in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsFault, match="No such file"):
        load(BOOK.names, tmp_path / "config.yaml")


def test_rehearsals_are_patterns() -> None:
    settings = Settings(rehearsals=("lab", "lab-*"))
    assert [settings.is_rehearsal(name) for name in ("lab", "lab-7", "label", "prod")] == [
        True,
        True,
        False,
        False,
    ]


def test_the_page_is_what_the_rules_say() -> None:
    page = (ROOT / "docs" / "policy.md").read_text()
    assert page == document.page(), "python -m policy.document >docs/policy.md"


def test_looking_into_values() -> None:
    props = {"a": {"b": [1], "c": UNKNOWN}, "on": "true", "off": False}
    assert look(props, "a.b") == [1]
    assert look(props, "a.x.y", 7) == 7
    assert each(props, "a.b") == [1]
    assert each(props, "on") == ["true"]
    assert each(props, "none") == []
    assert yes(props, "on")
    assert not yes(props, "off")
    for path in ("a.c", "a.c.d"):
        with pytest.raises(NotKnown, match=path):
            look(props, path)
    with pytest.raises(NotKnown):
        bool(UNKNOWN)
    assert dict(leaves(props)) == {"a.c": UNKNOWN, "on": "true"}
