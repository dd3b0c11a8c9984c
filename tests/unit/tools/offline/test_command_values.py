from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tools.offline import diff, values
from tools.offline.wire import from_struct, resource_name, resource_type, to_struct

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc.", max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
PROPERTIES = st.dictionaries(st.text("abcxyz", min_size=1, max_size=4), PLAIN, max_size=4)


@given(PROPERTIES)
def test_values_pass_the_wire_unchanged(properties: dict[str, Any]) -> None:
    assert from_struct(to_struct(properties)) == properties


@given(PLAIN)
def test_a_secret_at_any_depth_is_found_and_taken_off(plain: Any) -> None:
    wrapped = {"a": [values.secret(plain), 1]}
    assert values.has_secret(wrapped)
    assert values.reveal(wrapped) == {"a": [values.reveal(plain), 1]}
    assert not values.has_secret(plain)


@given(PLAIN)
def test_an_unknown_at_any_depth_is_found(plain: Any) -> None:
    assert values.has_unknown({"a": [plain, {"b": UNKNOWN}]})
    assert not values.has_unknown(plain)


@given(PROPERTIES)
def test_nothing_changed_is_no_difference(properties: dict[str, Any]) -> None:
    hidden = {key: values.secret(value) for key, value in properties.items()}
    assert diff.changes(properties, properties) == {}
    assert diff.changes(properties, hidden) == {}


@given(PROPERTIES, PROPERTIES)
def test_a_difference_is_seen_from_both_sides(old: dict[str, Any], new: dict[str, Any]) -> None:
    mirrored = {"ADD": "DELETE", "DELETE": "ADD", "UPDATE": "UPDATE"}
    there, back = diff.changes(old, new), diff.changes(new, old)
    assert {path: mirrored[kind] for path, kind in there.items()} == back
    assert bool(there) == (old != new)


def test_paths_are_pulumi_s() -> None:
    old = {"environment": {"A": "1", "with.dot": "x"}, "triggers": ["a"], "stdin": "1"}
    new = {"environment": {"A": "2", "with.dot": "y"}, "triggers": ["a", "b"], "create": "c"}
    assert diff.changes(old, new) == {
        "environment.A": "UPDATE",
        'environment["with.dot"]': "UPDATE",
        "triggers[1]": "ADD",
        "stdin": "DELETE",
        "create": "ADD",
    }


def test_triggers_replace_and_nothing_else_does() -> None:
    assert diff.top("triggers[0].x") == "triggers"
    assert diff.top("triggers") == "triggers"
    assert diff.top("create") == "create"
    assert diff.top("environment.triggers") == "environment"


def test_an_asset_is_its_content() -> None:
    asset = {values.SIGNATURE_KEY: values.ASSET, "hash": "1", "path": "/a/f"}
    moved = {**asset, "path": "/b/f"}
    changed = {**asset, "hash": "2"}
    assert diff.changes({"source": asset}, {"source": moved}) == {}
    assert diff.changes({"source": asset}, {"source": changed}) == {"source": "UPDATE"}


def test_a_urn_names_type_and_resource() -> None:
    urn = "urn:pulumi:s::p::anycastle:Node$command:remote:Command::a::b"
    assert resource_type(urn) == "command:remote:Command"
    assert resource_name(urn) == "a::b"
