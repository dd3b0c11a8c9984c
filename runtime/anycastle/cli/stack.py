"""Where a deployment's API is and what opens it, from the outputs of its Pulumi stack.

For an operator who works in the checkout and is logged in to Pulumi's backend: the
stack's own access rules then decide who gets the operator's token.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from anycastle.cli.errors import Exit, Failure
from anycastle.model import codec

TIMEOUT = 120.0
"""Seconds: a backend in a cloud, and a key of its own for the secrets."""

Run = Callable[[Sequence[str]], "Answer"]


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    status: int
    output: str
    errors: str


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """The outputs of a whole or global stack that matter here. control_ca: PEM."""

    api: str
    operator_token: str
    control_ca: str


def run(command: Sequence[str]) -> Answer:
    """The command's end. Raises Failure when it can't be run."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT, check=False, stdin=0
        )
    except FileNotFoundError:
        raise Failure(Exit.USAGE, f"--stack needs `{command[0]}` on PATH, and there is none") from (
            None
        )
    except subprocess.TimeoutExpired:
        raise Failure(Exit.UNREACHABLE, f"`{command[0]}` did not end in {TIMEOUT:g} s") from None
    return Answer(done.returncode, done.stdout, done.stderr)


def outputs(stack: str, run: Run) -> Outputs:
    """Ask Pulumi. Raises Failure."""
    command = ("pulumi", "stack", "output", "--json", "--show-secrets", "--stack", stack)
    answer = run(command)
    if answer.status:
        said = [line for line in answer.errors.splitlines() if line.strip()] or ["it said nothing"]
        raise Failure(Exit.USAGE, f"--stack {stack}: pulumi: {said[-1].strip()}")
    try:
        return codec.from_json(answer.output, Outputs)
    except codec.ModelError as error:
        raise Failure(
            Exit.USAGE,
            f"--stack {stack}: its outputs do not say where the API is ({error}); name the stack "
            "with the control plane, and bring it up first",
        ) from None
