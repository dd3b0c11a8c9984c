from __future__ import annotations

from typing import Any

import pytest

from tools.offline import values
from tools.offline.command import report, resources, ssh
from tools.offline.command.inputs import (
    COPY_TO_REMOTE,
    LOCAL_COMMAND,
    REMOTE_COMMAND,
    Connection,
    CopyToRemote,
    RemoteCommand,
    UnknownType,
    faults,
    parse,
)

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
ASSET = {values.SIGNATURE_KEY: values.ASSET, "hash": "1", "path": "/a"}


def test_defaults_are_the_schema_s() -> None:
    parsed = parse(REMOTE_COMMAND, {"connection": {"host": "h"}})
    assert isinstance(parsed, RemoteCommand)
    assert parsed.connection == Connection(
        host="h", port=22, user="root", dial_error_limit=10, per_dial_timeout=15
    )
    assert parsed.add_previous_output_in_env


@pytest.mark.parametrize(
    ("kind", "properties", "expected"),
    [
        (REMOTE_COMMAND, {}, [("connection", "missing required property")]),
        (LOCAL_COMMAND, {"creat": "x"}, [("creat", "unrecognized property")]),
        (COPY_TO_REMOTE, {"connection": {"host": "h"}, "remotePath": "/x", "source": {}},
         [("source", "either asset or archive must be set")]),
        (COPY_TO_REMOTE, {"connection": {"host": "h"}, "remotePath": "/x",
                          "source": {values.SIGNATURE_KEY: values.ARCHIVE, "assets": {}}},
         [("source", "archive must be a path to a file or directory")]),
        (REMOTE_COMMAND, {"connection": {"host": UNKNOWN}, "create": UNKNOWN}, []),
        (COPY_TO_REMOTE, {"connection": {"host": "h"}, "remotePath": "/x", "source": ASSET}, []),
    ],
)  # fmt: skip
def test_faults(kind: str, properties: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert faults(kind, properties) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [("create", 5), ("logging", "loud"), ("environment", {"A": 1}), ("assetPaths", ["*.txt"])],
)
def test_a_wrong_value_is_named(name: str, value: Any) -> None:
    found = faults(LOCAL_COMMAND, {name: value})
    assert [where for where, _ in found] == [name]


def test_a_wrong_value_is_not_shown_as_it_may_be_a_secret() -> None:
    secret = values.secret({"host": "h", "privateKey": ["hush"]})
    ((name, reason),) = faults(REMOTE_COMMAND, {"connection": secret})
    assert name == "connection"
    assert "hush" not in reason


def test_what_is_not_there_is_said_so() -> None:
    with pytest.raises(UnknownType, match="command:local:run"):
        parse("command:local:run", {})


@pytest.mark.parametrize(
    ("failures", "limit", "expected"),
    [(1, 0, True), (10, 10, False), (11, 10, True), (1000, -1, False)],
)
def test_how_often_is_dialled(failures: int, limit: int, expected: bool) -> None:
    assert ssh.gives_up(failures, limit) is expected


def test_a_failed_dial_names_the_place_and_no_key() -> None:
    target = Connection(host="h", port=23, private_key="hush", password="hush")
    text = ssh.dial_failed(target, 3, TimeoutError())
    assert "root@h:23" in text
    assert "TimeoutError" in text
    assert "hush" not in text


def test_how_it_ended_is_said_in_the_vendor_s_words() -> None:
    assert report.remote_status(3, None) == "Process exited with status 3"
    assert report.remote_status(None, "KILL").endswith("from signal KILL")
    assert "without exit status" in report.remote_status(None, None)
    assert report.local_status(2) == "exit status 2"
    text = report.command_failed("exit status 2", 'echo "x"', "out\n")
    assert text == 'exit status 2: running "echo \\"x\\"":\nout\n'


def test_outputs_are_secret_as_soon_as_an_input_is() -> None:
    plain = resources.outputs({"create": "x"}, {"stdout": "o", "stderr": ""})
    assert plain == {"create": "x", "stdout": "o", "stderr": ""}
    hidden = resources.outputs({"create": values.secret("x")}, {"stdout": "o", "stderr": ""})
    assert hidden["stdout"] == values.secret("o")
    remote = resources.outputs({"connection": {"host": "h"}}, {"stdout": "o", "stderr": ""})
    assert remote["connection"] == values.secret({"host": "h"})
    assert remote["stdout"] == "o"


def test_a_copy_is_repeated_for_other_content_or_another_place() -> None:
    wanted = parse(
        COPY_TO_REMOTE, {"connection": {"host": "h"}, "remotePath": "/x", "source": ASSET}
    )
    assert isinstance(wanted, CopyToRemote)
    assert not resources.copy_needed({"source": ASSET, "remotePath": "/x"}, wanted)
    assert resources.copy_needed({"source": ASSET, "remotePath": "/y"}, wanted)
    assert resources.copy_needed({"source": {**ASSET, "hash": "2"}, "remotePath": "/x"}, wanted)
    assert resources.copy_needed({}, wanted)
