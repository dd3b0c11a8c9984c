"""--stack: the API of a Pulumi stack, its token and its CA."""

from __future__ import annotations

import json
from typing import Any

import pytest

from anycastle.cli import stack
from anycastle.cli.api import Access, Api
from anycastle.cli.errors import Failure

OUTPUTS = {
    "api": "https://api.example.net:8443",
    "operator_token": "ot_stack",
    "control_ca": "PEM of the stack",
    "hosts": [],
}


def said(outputs: dict[str, Any]) -> stack.Answer:
    return stack.Answer(0, json.dumps(outputs), "")


def test_it_says_where_and_with_what(api: Any) -> None:
    api.stacks["global"] = said(OUTPUTS)
    api.run("token", "list", "--stack", "global")
    request = api.requests[-1]
    assert str(request.url) == "https://api.example.net:8443/v1/tokens"
    assert request.headers["Authorization"] == "Bearer ot_stack"


def test_the_command_line_goes_before_it_and_variables_do_not(api: Any) -> None:
    api.stacks["global"] = said(OUTPUTS)
    api.run(
        "token", "list", "--stack", "global", "--token", "mine", env={"ANYCASTLE_URL": "https://x"}
    )
    assert api.requests[-1].url.host == "api.example.net"
    assert api.requests[-1].headers["Authorization"] == "Bearer mine"


def test_a_variable_names_it_too(api: Any) -> None:
    api.stacks["global"] = said(OUTPUTS)
    api.run("token", "list", env={"ANYCASTLE_STACK": "global"})
    assert api.requests[-1].url.host == "api.example.net"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (stack.Answer(255, "", "warning: old\nerror: no stack named 'global' found\n"),
         "--stack global: pulumi: error: no stack named 'global' found"),
        (stack.Answer(1, "", ""), "--stack global: pulumi: it said nothing"),
        (said({"hosts": []}), "name the stack with the control plane, and bring it up first"),
        (stack.Answer(0, "{", ""), "its outputs do not say where the API is"),
    ],
)  # fmt: skip
def test_what_pulumi_can_not_say(api: Any, answer: stack.Answer, says: str) -> None:
    api.stacks["global"] = answer
    result = api.run("status", "--stack", "global")
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert not api.requests


def test_a_command_is_run_to_its_end() -> None:
    answer = stack.run(("sh", "-c", "echo out; echo err >&2; exit 3"))
    assert answer == stack.Answer(3, "out\n", "err\n")


def test_no_pulumi() -> None:
    with pytest.raises(Failure, match="--stack needs `no-such-command` on PATH"):
        stack.run(("no-such-command",))


def test_a_ca_that_is_none() -> None:
    with pytest.raises(Failure, match="--stack: its output control_ca is not a PEM file"):
        Api(Access("https://x", "t", None, "no certificate"))
