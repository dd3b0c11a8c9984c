"""What the demo shows and concludes, without a lab."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.live import Live as RichLive

from anycastle.model.status import NodeReport, NodeState
from tools.demo.__main__ import conclusion
from tools.demo.screen import Plain, Row, Terminal, duration, table
from tools.demo.story import DRAIN, KILL, Outcome
from tools.demo.world import DemoFault, View
from tools.measure import switch
from tools.measure.wire import Live


def live(rate: float = 200.0, silent: float | None = 0.01, gap: float = 0.02) -> Live:
    return Live(name="c", rate=rate, silent=silent, gap=gap, back=0.01)


def outcome(what: str, gap: float, lost: int, *, takeover: bool, never: bool = False) -> Outcome:
    return Outcome(
        what=what, takeover=takeover, node="ams-1", clients=2, gap=gap, lost=lost, sent=4000,
        never=never,
    )  # fmt: skip


def report(name: str, *, announcing: bool = True) -> NodeReport:
    return NodeReport(
        name=name, datacentre="ams", state=NodeState.UP, announcing=announcing, revision=1,
        routing="bird", wireguard="kernel", version="1", at=0.0,
    )  # fmt: skip


def test_the_table_at_the_end() -> None:
    text = conclusion(
        [
            outcome(KILL, 0.16, 30, takeover=True),
            outcome(DRAIN, 0.013, 0, takeover=True),
            outcome(KILL, 15.3, 6100, takeover=False),
            outcome(DRAIN, 40.0, 8000, takeover=False, never=True),
        ]
    )
    head, kill, drain, *_ = text.splitlines()
    assert "WITHOUT" in head
    assert kill.split("  ")[0] == "a node loses its power"
    assert "160 ms" in kill
    assert "15.3 s" in kill
    assert "30 of 4000, 2 clients" in kill
    assert "13 ms" in drain
    assert "> 40.0 s" in drain


def test_a_short_demo_has_no_empty_columns() -> None:
    text = conclusion([outcome(KILL, 0.16, 30, takeover=True)])
    assert "WITHOUT" not in text
    assert text.splitlines()[2].split() == ["a", "node", "is", "drained", "-", "-"]


def test_columns_are_aligned() -> None:
    lines = table([("a", "1"), ("long name", "22")], ("", "N")).splitlines()
    assert lines == ["            N", "a           1", "long name  22"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0.0134, "13 ms"), (0.9, "900 ms"), (15.27, "15.3 s")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_plain_output_says_what_changed(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Plain()
    screen.scene("ams-1 loses its power")
    for row in (
        Row("site1-c1", "ams-1", live()),
        Row("site1-c1", "ams-1", live()),
        Row("site1-c1", "ams-1", live(rate=0, silent=2.0, gap=2.0)),
        Row("site1-c1", "ams-2", live(gap=2.1)),
    ):
        screen.show([row], {"ams-1": "UP"})
    lines = [line[9:] for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "== ams-1 loses its power"
    assert [("cut off" in line, "ams-2" in line) for line in lines if "served by" in line] == [
        (False, False),
        (True, False),
        (False, True),
    ]


def test_lines_that_stay_in_place() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, color_system=None)
    with RichLive(console=console, auto_refresh=False) as shown:
        screen = Terminal(console, shown)
        screen.scene("ams-1 loses its power")
        screen.show(
            [Row("site1-c1", "ams-2", live()), Row("site1-c2", "", live(0, 3.2, 3.2))],
            {"ams-1": "silent", "ams-2": "UP"},
        )
        shown.refresh()
    text = out.getvalue()
    assert "ams-1 loses its power" in text
    assert "ams-1 silent" in text
    assert "silent for 3.2 s" in text
    assert text.count("silent for") == text.count("site1-c2")


def test_the_busiest_node_that_serves() -> None:
    owners = {"a": "ams-1", "b": "ams-2", "c": "ams-2", "d": "fra-1", "e": "fra-1", "f": "fra-1"}
    reports = {
        name: report(name, announcing=name != "fra-1") for name in ("ams-1", "ams-2", "fra-1")
    }
    view = View(reports, owners)
    assert view.busiest == "ams-2"
    assert view.served_by("ams-2") == ["b", "c"]
    with pytest.raises(DemoFault, match="no node announces"):
        _ = View({}, owners).busiest


def test_switching_off_keeps_what_pulumi_wrote() -> None:
    off, on = switch.script(enabled=False), switch.script(enabled=True)
    assert "cp -p /etc/anycastle/node.json /etc/anycastle/node.json.before" in off
    assert "mv /etc/anycastle/node.json.before /etc/anycastle/node.json" in on
