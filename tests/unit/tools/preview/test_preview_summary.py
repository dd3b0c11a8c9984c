"""What becomes of pulumi's own words: summaries, reports, golden texts; and of configuration."""

from __future__ import annotations

import json
from typing import Any

from tools.preview import config, report, summary
from tools.preview.summary import Preview, Step, Violation
from tools.preview.workspace import foreign, plugin_versions

PREFIX = "urn:pulumi:prod::anycastle::"
ROOT = f"{PREFIX}pulumi:pulumi:Stack::anycastle-prod"


def entry(op: str, kind: str, name: str, **more: Any) -> dict[str, Any]:
    state = {"parent": ROOT, **more.pop("state", {})}
    return {"op": op, "urn": f"{PREFIX}a:b:Parent${kind}::{name}", "newState": state, **more}


DOCUMENT = {
    "steps": [
        {"op": "same", "urn": ROOT, "newState": {}},
        entry("update", "x:y:Z", "b", detailedDiff={"tags.a": {}, "size": {}}),
        entry("create", "x:y:Z", "a", state={"dependencies": [ROOT, f"{PREFIX}x:y:Z::b"]}),
        entry("replace", "x:y:Z", "c", diffReasons=["ami"], replaceReasons=["ami"]),
        entry("create-replacement", "x:y:Z", "c"),
        entry("delete-replaced", "x:y:Z", "c"),
        {"op": "delete", "urn": f"{PREFIX}x:y:Z::d", "oldState": {"parent": ROOT}},
        {"op": "create", "urn": f"{PREFIX}pulumi:providers:x::p", "newState": {}},
    ],
    "changeSummary": {"same": 118, "create": 1},
    "diagnostics": [
        {"severity": "warning", "message": "w"},
        {"severity": "error", "message": "error: no such field\n"},
    ],
}
EVENTS = "\n".join(
    json.dumps(event)
    for event in (
        {"sequence": 1, "diagnosticEvent": {}},
        {"policyEvent": {
            "policyName": "imdsv2-only", "enforcementLevel": "mandatory", "severity": "high",
            "resourceUrn": f"{PREFIX}x:y:Z::a", "message": "promise\nfinding\n"}},
    )
)  # fmt: skip


def read(document: Any = DOCUMENT, events: str = EVENTS) -> Preview:
    return summary.read("prod", 1.234, json.dumps(document), events, "")


def test_steps_are_named_and_a_replacement_is_one() -> None:
    assert read().steps == (
        Step(op="create", type="x:y:Z", name="a", parent="stack", dependencies=("b", "stack")),
        Step(op="update", type="x:y:Z", name="b", parent="stack", changed=("size", "tags.a")),
        Step(op="replace", type="x:y:Z", name="c", parent="stack", changed=("ami",),
             reasons=("ami",)),
        Step(op="delete", type="x:y:Z", name="d", parent="stack"),
        Step(op="same", type="pulumi:pulumi:Stack", name="stack"),
    )  # fmt: skip


def test_errors_and_violations_fail_a_preview() -> None:
    found = read()
    assert found.errors == ("no such field",)
    assert found.violations == (
        Violation(rule="imdsv2-only", level="mandatory", severity="high", resource="a",
                  message="promise\nfinding"),
    )  # fmt: skip
    assert not found.passed
    assert read(DOCUMENT | {"diagnostics": []}, "").passed


def test_violations_alone_are_no_error_beside() -> None:
    failed = {"severity": "error", "message": "error: preview failed\n"}
    assert read(DOCUMENT | {"diagnostics": [failed]}).errors == ()
    assert read(DOCUMENT | {"diagnostics": [failed]}, "").errors == ("preview failed",)


def test_an_advisory_violation_lets_a_preview_pass() -> None:
    found = read(DOCUMENT | {"diagnostics": []}, EVENTS.replace("mandatory", "advisory"))
    assert found.passed
    assert "policy imdsv2-only (advisory) at a: promise" in report.text(found)


def test_words_instead_of_json_are_the_error() -> None:
    found = summary.read("prod", 1, "", "", "error: no stack named 'prod' found\n")
    assert found.errors == ("error: no stack named 'prod' found",)


def test_the_text_for_a_terminal() -> None:
    assert report.text(read()).splitlines() == [
        "prod: 1 to create, 1 to delete, 1 to replace, 1 to update, 118 unchanged (1.2 s)",
        "    +  a (x:y:Z)",
        "    ~  b (x:y:Z)  [size, tags.a]",
        "    +- c (x:y:Z)  [ami]",
        "    -  d (x:y:Z)",
        "  policy imdsv2-only (mandatory) at a: promise",
        "      finding",
        "  error: no such field",
    ]


def test_many_changes_are_counted() -> None:
    steps = tuple(Step(op="create", type="x:y:Z", name=str(number)) for number in range(100))
    lines = list(report.details(steps))
    assert lines == ["+  x:y:Z   100"]


def test_the_comment_for_a_pull_request() -> None:
    text = report.markdown([read(), read(DOCUMENT | {"diagnostics": []}, "")])
    assert "| prod | 1 to create, 1 to delete" in text
    assert "<details open><summary>prod</summary>" in text
    assert "<details><summary>prod</summary>" in text
    assert text.count("```") == 4


def test_a_preview_as_golden_text() -> None:
    assert report.golden(read()).splitlines()[:3] == [
        "    1 pulumi:pulumi:Stack",
        "    4 x:y:Z",
        "x:y:Z a in stack <- b, stack",
    ]


def test_configuration_loses_what_only_its_key_opens() -> None:
    document = {
        "secretsprovider": "awskms://alias/x",
        "encryptedkey": "AAAA",
        "encryptionsalt": "v1:…",
        "config": {"aws:region": "r", "anycastle:x": {"a": [{"secure": "AAAB"}, {"b": 1}]}},
    }
    assert config.prepared(document) == {
        "config": {"aws:region": "r", "anycastle:x": {"a": [config.STAND_IN, {"b": 1}]}}
    }


def region(*ids: int) -> dict[str, Any]:
    return {
        "config": {
            "anycastle:stack": {"role": "region", "reads": "global"},
            "anycastle:datacentre": {"nodes": [{"id": number} for number in ids]},
        }
    }


def test_a_region_reads_its_global_stack_and_regions_before_it() -> None:
    documents = {"global": {"config": {}}, "a": region(9, 8), "b": region(3), "c": region(5)}
    assert config.reads(documents["a"]) == "global"
    assert config.reads(documents["global"]) is None
    assert config.siblings("a", documents) == ["global", "b", "c"]
    assert config.siblings("c", documents) == ["global", "b"]
    assert config.siblings("global", documents) == []


def test_a_lab_is_known_by_its_datacentres() -> None:
    def deployment(kind: str) -> dict[str, Any]:
        return {"config": {"anycastle:deployment": {"datacentres": [{"kind": kind}]}}}

    assert config.is_lab(deployment("lab"))
    assert not config.is_lab(deployment("metal"))
    assert not config.is_lab(region(1))


def test_versions_of_plugins_are_those_of_the_lock() -> None:
    lock = (
        "pulumi==3.1.0 \\\npulumi-aws==7.1.2 \\\npulumi-policy==1.2.3 \\\npulumi-command==1.0 \\\n"
    )
    assert plugin_versions(lock) == {"aws": "7.1.2", "command": "1.0"}


def test_nobody_s_credentials_reach_a_preview() -> None:
    assert all(foreign(name) for name in ("AWS_PROFILE", "AWS_SECRET_ACCESS_KEY", "PULUMI_STACK"))
    assert not foreign("HOME")


def test_a_key_that_everybody_sets_for_himself_gets_a_stand_in() -> None:
    key = "anycastle:sshKey"
    metal = {"config": {"anycastle:datacentre": {"kind": "metal"}}}
    assert config.prepared(metal)["config"][key] == config.STAND_IN
    mixed = {
        "config": {"anycastle:deployment": {"datacentres": [{"kind": "aws"}, {"kind": "metal"}]}}
    }
    assert config.prepared(mixed)["config"][key] == config.STAND_IN
    aws = {"config": {"anycastle:datacentre": {"kind": "aws"}}}
    assert key not in config.prepared(aws)["config"]
    own = {"config": {**metal["config"], key: "mine"}}
    assert config.prepared(own)["config"][key] == "mine"
