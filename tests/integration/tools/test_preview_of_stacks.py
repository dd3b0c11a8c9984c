"""Every stack in stacks/ through the real CLI with the policy pack, held against golden summaries.

After a change that is meant: `GOLDEN=write pytest tests/integration/tools/test_preview_of_stacks.py`,
and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.offline.preview.replacing import REPLACING
from tools.preview import rehearsal, report
from tools.preview.rehearsal import Rehearsal, Scene
from tools.preview.summary import Preview
from tools.provision import result

GOLDEN = Path(__file__).parent / "golden"
STACKS = rehearsal.stacks()


@pytest.fixture(scope="module")
def work() -> Rehearsal:
    """Shared, so that what several stacks read is recorded once."""
    return Rehearsal(result.read(), Scene(rehearsal.documents()))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_is_what_it_was_and_keeps_every_rule(work: Rehearsal, stack: str) -> None:
    with work.staged(stack) as pulumi:
        found = pulumi.preview(stack)
    assert found.errors == ()
    assert found.violations == ()
    # Beside what is made: outputs of other stacks, and the stack's own last ones.
    assert {step.op for step in found.steps} <= {"create", "read"}
    assert types_without_table(found) == set(), "say in REPLACING what replaces them"
    compare(GOLDEN / f"{stack}.txt", report.golden(found))


def types_without_table(found: Preview) -> set[str]:
    """AWS types that tools/offline/preview/replacing.py does not know."""
    return {step.type for step in found.steps if step.type.startswith("aws:")} - set(REPLACING)


def compare(file: Path, text: str) -> None:
    if os.environ.get("GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert file.exists(), f"no golden summary yet: GOLDEN=write makes {file.name}"
    assert text == file.read_text()


def test_no_golden_summary_is_left_over() -> None:
    assert {file.stem for file in GOLDEN.glob("*.txt")} == set(STACKS)
