"""`python -m tools.deploy changed|gate|path`, for the workflows in .github."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from tools.deploy import affected, gate
from tools.deploy.affected import DeliveryFault
from tools.deploy.verdict import Limits
from tools.places import CHECKOUT
from tools.preview import rehearsal
from tools.provision import result

NOTHING = "0" * 40
"""What GitHub calls the commit before a branch's first."""


def main() -> int:
    options = arguments()
    try:
        return int(options.act(options))
    except DeliveryFault as fault:
        sys.stderr.write(f"{fault}\n")
        return 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.deploy", description=__doc__)
    acts = parser.add_subparsers(required=True)
    changed = acts.add_parser("changed", help="stacks that a change touches, as NAME=JSON lines")
    changed.add_argument("--since", required=True, metavar="COMMIT")
    changed.set_defaults(act=print_changed)
    watched = acts.add_parser("gate", help="is the deployment healthy over the bake time?")
    watched.add_argument("--datacentre", default="", help="default: every one")
    watched.add_argument("--before", type=Path, metavar="FILE", help="status before the `up`")
    watched.add_argument("--bake", type=float, default=Limits.bake, metavar="SECONDS")
    watched.add_argument("--settle", type=float, default=Limits.settle, metavar="SECONDS")
    watched.add_argument("--patience", type=float, default=Limits.patience, metavar="SECONDS")
    watched.add_argument("--clients", type=float, default=Limits.fewest, metavar="SHARE")
    watched.add_argument("--interval", type=float, default=10.0, metavar="SECONDS")
    watched.set_defaults(act=watch)
    acts.add_parser("path", help="folders for PATH, one a line").set_defaults(act=print_path)
    return parser.parse_args()


def print_changed(options: argparse.Namespace) -> int:
    documents = rehearsal.documents()
    touched = sorted(documents)
    if options.since != NOTHING:
        touched = affected.affected(paths_since(options.since), documents)
    text = (CHECKOUT / "stacks" / "delivery.yaml").read_text()
    order = affected.order(affected.parse(text, documents), touched)
    for name, value in {"touched": touched, **affected.outputs(order)}.items():
        print(f"{name}={json.dumps(value)}")
    return 0


def paths_since(commit: str) -> list[str]:
    """Files that differ from a commit, deleted ones included. Raises DeliveryFault."""
    words = ["git", "diff", "--name-only", "--no-renames", commit, "HEAD"]
    ended = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise DeliveryFault(f"git can't compare with {commit}: {ended.stderr.strip()}")
    return ended.stdout.splitlines()


def watch(options: argparse.Namespace) -> int:
    limits = Limits(
        settle=options.settle,
        bake=options.bake,
        patience=options.patience,
        fewest=options.clients,
    )
    return gate.run(options.datacentre, options.before, limits, options.interval)


def print_path(_: argparse.Namespace) -> int:
    print("\n".join(reversed(result.read().path)))  # the last line of GITHUB_PATH comes first
    return 0


if __name__ == "__main__":
    sys.exit(main())
