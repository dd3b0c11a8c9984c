"""`node drain` and `node resume`: what is sent, what is shown, when a wait ends and how."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import pytest

from anycastle.cli import waiting
from anycastle.cli.errors import Exit, Failure
from anycastle.model.api import DrainView, NodeView
from anycastle.model.codec import from_plain


def drain_view(**changes: Any) -> dict[str, Any]:
    return {
        "since": "2026-01-02T03:04:05.000Z",
        "deadline": "2026-01-02T03:14:05.000Z",
        "seconds_left": 598.4,
        "sessions": 2,
        "phase": None,
        "ready": False,
        "reason": "",
        "force": False,
    } | changes


@pytest.fixture
def node(shapes: Any) -> Any:
    """Makes the API's answer about a node that drains."""

    def make(phase: str | None, sessions: int = 2, **changes: Any) -> httpx.Response:
        drain = drain_view(**{"phase": phase, "sessions": sessions} | changes.pop("drain", {}))
        known = {"state": "DRAINING", "announcing": phase == "leaving", "sessions": sessions}
        return httpx.Response(200, json=shapes.node_view(**(known | {"drain": drain} | changes)))

    return make


DRAIN = "POST /v1/nodes/ams-1/drain"
RESUME = "POST /v1/nodes/ams-1/resume"
SHOW = "GET /v1/nodes/ams-1"


def test_drain_sends_what_was_asked(api: Any, node: Any) -> None:
    api.answers[DRAIN] = node(None, state="UP", announcing=True)
    done = api.run("node", "drain", "ams-1", "--deadline", "90s", "--reason", "disk", "--force")
    assert api.sent() == {"deadline_seconds": 90.0, "force": True, "reason": "disk"}
    assert done.exit_code == 0
    assert done.stdout == (
        "ams-1: asked to drain, no answer yet, 2 sessions left; `anycastle node show ams-1` tells"
        " how far it is\n"
    )


def test_drain_as_json(api: Any, node: Any) -> None:
    api.answers[DRAIN] = node(None, state="UP", announcing=True)
    shown = json.loads(api.run("node", "drain", "ams-1", "--json").stdout)
    assert shown == {
        "name": "ams-1",
        "state": "UP",
        "announcing": True,
        "sessions": 2,
        "phase": None,
        "since": "2026-01-02T03:04:05.000Z",
        "deadline": "2026-01-02T03:14:05.000Z",
        "seconds_left": 598.4,
        "ready": False,
        "reason": "",
    }
    assert api.sent()["deadline_seconds"] == 600.0


def test_a_wait_shows_each_change_once(api: Any, node: Any) -> None:
    api.answers[DRAIN] = node(None)
    looks = [node("leaving"), node("leaving"), node("moving"), node("moving", 1), node("moving", 1)]
    api.answers[SHOW] = [*looks, node("drained", 0)]
    done = api.run("node", "drain", "ams-1", "--wait")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "ams-1: announced as the last choice, 2 sessions left",
        "ams-1: withdrawn, 2 sessions left",
        "ams-1: withdrawn, 1 session left",
        "ams-1: drained, no session left",
    ]
    assert set(api.slept) == {waiting.POLL}


def test_a_wait_as_json_lines(api: Any, node: Any) -> None:
    api.answers[DRAIN] = node(None)
    later = node("leaving", drain={"seconds_left": 597.9})
    api.answers[SHOW] = [node("leaving"), later, node("moving"), node("drained", 0)]
    lines = [
        json.loads(line)
        for line in api.run("node", "drain", "ams-1", "--wait", "--json").stdout.splitlines()
    ]
    assert [(line["phase"], line["sessions"], line["done"]) for line in lines] == [
        ("leaving", 2, False),
        ("moving", 2, False),
        ("drained", 0, True),
    ]


def test_a_deadline_that_passes_is_a_code_of_its_own(api: Any, node: Any) -> None:
    api.answers[DRAIN] = node(None)
    api.answers[SHOW] = [node("moving"), node("overdue", 2)]
    done = api.run("node", "drain", "ams-1", "--wait")
    assert done.exit_code == Exit.UNFINISHED.value
    assert (
        done.stdout.splitlines()[-1] == "ams-1: the deadline has passed, withdrawn, 2 sessions left"
    )
    assert "the deadline passed with 2 sessions left; it is out of service" in done.stderr


def test_a_node_that_had_to_stay_says_why(api: Any, node: Any) -> None:
    reason = "asked to drain; stays announced, as no other node is well"
    api.answers[DRAIN] = node(None)
    api.answers[SHOW] = [node("overdue", 2, announcing=True, reason=reason)]
    done = api.run("node", "drain", "ams-1", "--wait")
    assert done.exit_code == 7
    assert f"it is still announced: {reason}" in done.stderr


def test_a_node_that_never_answers_ends_the_wait_some_time_after_the_deadline(
    api: Any, node: Any
) -> None:
    api.answers[DRAIN] = node(None)
    silent = {"state": "UNKNOWN", "reason": "no report for 40 s, then UP", "announcing": False}
    over = node(None, drain={"seconds_left": 0.0, "sessions": None}, **silent)
    api.answers[SHOW] = over
    done = api.run("node", "drain", "ams-1", "--wait")
    assert done.exit_code == 7
    assert "without a word from the node" in done.stderr
    assert sum(api.slept) == pytest.approx(waiting.GRACE)


def test_somebody_resumes_meanwhile(api: Any, node: Any, shapes: Any) -> None:
    api.answers[DRAIN] = node(None)
    api.answers[SHOW] = [node("moving"), httpx.Response(200, json=shapes.node_view())]
    done = api.run("node", "drain", "ams-1", "--wait")
    assert (done.exit_code, done.stderr) == (7, "Error: ams-1: somebody resumed it meanwhile\n")


def test_the_last_node_is_refused_with_advice(api: Any, shapes: Any) -> None:
    message = "no other node could take the clients of ams-1 over: ams-2: asked to drain"
    api.answers[DRAIN] = httpx.Response(409, json=shapes.refusal("last_node", message))
    done = api.run("node", "drain", "ams-1", "--wait")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: {message}: heal or resume another node first, or give --force\n"
    )


def test_an_unknown_node_and_a_bad_deadline(api: Any, shapes: Any) -> None:
    api.answers["GET /v1/nodes"] = httpx.Response(200, json=[shapes.node_view()])
    done = api.run("node", "drain", "ams1")
    assert done.exit_code == 3
    assert "did you mean ams-1?" in done.stderr
    assert api.run("node", "resume", "ams1").exit_code == 3
    assert api.run("node", "drain", "ams-1", "--deadline", "soon").exit_code == 2


def test_a_wait_survives_an_api_that_restarts(api: Any, node: Any) -> None:
    api.answers[DRAIN] = node(None)
    gone = httpx.ConnectError("refused")
    api.answers[SHOW] = [node("moving"), gone, gone, httpx.Response(503), node("drained", 0)]
    done = api.run("node", "drain", "ams-1", "--wait")
    assert done.exit_code == 0
    assert done.stderr.count("lost the API") == 1


def test_an_api_that_stays_away_ends_the_wait(api: Any, node: Any) -> None:
    api.answers[DRAIN] = node(None)
    api.answers[SHOW] = httpx.ConnectError("refused")
    done = api.run("node", "drain", "ams-1", "--wait")
    assert done.exit_code == Exit.UNREACHABLE
    assert sum(api.slept) == pytest.approx(waiting.LOST)


def test_ctrl_c_ends_the_wait_and_not_the_drain(api: Any, node: Any) -> None:
    def interrupt(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    api.answers[DRAIN] = node(None)
    api.answers[SHOW] = interrupt
    done = api.run("node", "drain", "ams-1", "--wait")
    assert (done.exit_code, done.stderr) == (130, "ams-1 goes on without this command\n")


def test_resume_waits_until_the_node_is_announced(api: Any, shapes: Any) -> None:
    def answer(state: str, **changes: Any) -> httpx.Response:
        return httpx.Response(200, json=shapes.node_view(state=state, **changes))

    api.answers[RESUME] = answer("DRAINING", announcing=False)
    api.answers[SHOW] = [
        answer("DRAINING", announcing=False, reason="asked to drain"),
        answer("DOWN", announcing=False, reason="1 of 3 good probe rounds"),
        answer("UP"),
    ]
    done = api.run("node", "resume", "ams-1", "--wait")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "ams-1: DRAINING: asked to drain",
        "ams-1: DOWN: 1 of 3 good probe rounds",
        "ams-1: UP, announcing",
    ]
    assert api.run("node", "resume", "ams-1").stdout == (
        "ams-1: comes back into service once its probes are good\n"
    )
    api.answers[RESUME] = answer("UP")
    assert api.run("node", "resume", "ams-1").stdout == "ams-1: in service\n"


def test_a_resume_that_does_not_come_back_says_why(api: Any, shapes: Any) -> None:
    down = shapes.node_view(state="DOWN", announcing=False, reason="disk: is full")
    api.answers[RESUME] = api.answers[SHOW] = httpx.Response(200, json=down)
    done = api.run("node", "resume", "ams-1", "--wait")
    assert done.exit_code == 7
    assert "not back in service after 120 s: DOWN: disk: is full" in done.stderr
    assert sum(api.slept) == pytest.approx(waiting.RETURN)


def test_show_tells_how_far_a_drain_is(api: Any, node: Any) -> None:
    api.answers[SHOW] = node("moving", drain={"reason": "disk", "force": True, "ready": True})
    text = api.run("node", "show", "ams-1").stdout
    assert "drain            withdrawn, 2 sessions left, forced (disk)\n" in text
    assert "drain until      2026-01-02T03:14:05.000Z (9:58 to go)\n" in text
    assert "ready to resume  yes\n" in text
    shown = json.loads(api.run("node", "show", "ams-1", "--json").stdout)
    assert shown["drain"]["phase"] == "moving"


def test_lists_name_the_nodes_that_are_to_stay_out(api: Any, node: Any) -> None:
    drained = node("drained", 0, reason="asked to drain").json()
    api.answers["GET /v1/nodes"] = httpx.Response(200, json=[drained])
    assert api.run("node", "list").stdout.endswith(
        "\nams-1: asked to drain\n\nams-1: drained, no session left\n"
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_one_live_line_and_keeps_the_end(
    monkeypatch: pytest.MonkeyPatch, node: Any
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    judge = waiting.Drained()
    with waiting._display("ams-1", json=False) as show:
        for answer in (node("moving"), node("drained", 0)):
            view = from_plain(answer.json(), NodeView)
            show(view, judge(view, 0.0))
    shown = terminal.getvalue()
    assert "ams-1: drained, no session left\n" in shown
    assert "ams-1: withdrawn, 2 sessions left\n" not in shown


def judged(shapes: Any, seconds: float = 0.0, **changes: Any) -> waiting.Step:
    node = from_plain(shapes.node_view(**changes), NodeView)
    return waiting.Drained()(node, seconds)


def test_a_terminal_cannot_be_steered_by_a_nodes_words(shapes: Any) -> None:
    step = judged(shapes, state="UNKNOWN", reason="\x1b[2J", drain=drain_view())
    assert "silent" in step.text
    view = from_plain(drain_view(phase="moving", sessions=None), DrainView)
    node = from_plain(shapes.node_view(), NodeView)
    assert waiting.drain_text(node, view) == "withdrawn, sessions unknown"
    assert isinstance(judged(shapes).over, Failure)
