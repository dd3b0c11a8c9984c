"""`python -m tools.preview [STACK…]`: exit code 1 on a violation or an error."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

import msgspec

from tools.preview import rehearsal, report
from tools.preview.engine import PreviewFailed
from tools.preview.rehearsal import Rehearsal, Scene
from tools.preview.summary import Preview
from tools.provision import result


def main() -> int:
    options = arguments()
    try:
        previews = run(options)
    except (PreviewFailed, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(previews)) + b"\n")
    if options.markdown:
        options.markdown.write_text(report.markdown(previews))
    return 0 if all(preview.passed for preview in previews) else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make preview", description=__doc__)
    parser.add_argument("stacks", nargs="*", metavar="STACK", help="default: every one in stacks/")
    parser.add_argument("--against", metavar="REF", help="show the change from that commit")
    parser.add_argument("--diff", action="store_true", help="also Pulumi's own whole display")
    parser.add_argument("--no-policy", action="store_true", help="without the policy pack")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write a comment")
    return parser.parse_args()


def run(options: argparse.Namespace) -> list[Preview]:
    """Raises PreviewFailed."""
    with ExitStack() as stack:
        before = None
        if options.against:
            base = stack.enter_context(rehearsal.checkout_of(options.against))
            before = Scene(rehearsal.documents(base), base)
        work = Rehearsal(result.read(), Scene(rehearsal.documents()), before)
        return [one(work, name, options) for name in wanted(work.now, options.stacks)]


def wanted(scene: Scene, names: list[str]) -> list[str]:
    """Raises PreviewFailed for a stack that is not there."""
    for name in names:
        if name not in scene.documents:
            known = ", ".join(scene.documents)
            raise PreviewFailed(f"there is no stack {name!r}; known: {known}")
    return names or list(scene.documents)


def one(work: Rehearsal, name: str, options: argparse.Namespace) -> Preview:
    """A stack that the commit does not have is compared with nothing."""
    with work.staged(name) as pulumi:
        found = pulumi.preview(name, policy=not options.no_policy)
        print(report.text(found), flush=True)
        if options.diff:
            print(pulumi.shown(name), flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
