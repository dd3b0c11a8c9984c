"""docs/policy.md out of the rules: `python -m policy.document >docs/policy.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from policy.rule import ResourceRule, Rule, Unknowns
from policy.rules import BOOK

HEAD = """# The policy pack

Rules that every preview and every `up` of a stack is held against. A violation of a mandatory rule
fails the preview, and `up` before anything is done. This page is made from the rules
(`python -m policy.document >docs/policy.md`), and a test compares them.

```sh
make preview                                                        # every stack, no cloud account
pulumi preview --policy-pack policy/pulumi-analyzer-anycastle       # the stack at hand
```

The second form takes an executable, which works with every language host. With a host that starts
packs itself `--policy-pack policy` is the same.

[`policy/config.yaml`](../policy/config.yaml) sets limits, names the stacks that redundancy is not asked
of, and makes a rule `advisory` or `disabled`. Its comments say what each setting means; a wrong one stops
the preview with its place.

Some values are not known in a preview, because the cloud decides them. A rule marked *refuse* takes
that for a violation: what it guards has to be readable in a pull request. A rule marked *wait* looks
at what is known, says no more in the preview, and looks again during `up`: at a resource before it is
made, at a stack at the end.
"""

TABLE = """
| rule | severity | when unknown | promise |
|---|---|---|---|
"""

FOOT = """
## What the rules read

Rules on resources see the inputs that the program gives. Rules on a stack see outputs of the whole
stack: the deployment's document (output `settings`), the hosts (`hosts`), and what providers compute,
such as default tags. What stood before is handed over by the program, out of its stack's own outputs of
the last update (`components/previous.py`), since a pack is not told what an update deletes.

A rule that looks for secrets knows which values the program marked as such, and besides looks for
the shapes of keys and passwords in what is not marked.

## A rule more

A rule is a pure function in `policy/checks/`, with its promise, its remedy, its severity and what it
does about unknown values beside it. It needs a case that passes, one that fails and one with unknown
values in `tests/unit/policy`, and a variant of a stack that the real CLI rejects in
`tests/integration/policy`.
"""


def page() -> str:
    rows = "\n".join(row(rule) for rule in BOOK.rules)
    return f"{HEAD}{TABLE}{rows}\n\n## What to do about a violation\n\n{''.join(remedies())}{FOOT}"


def row(rule: Rule) -> str:
    unknown = "refuse" if rule.unknowns is Unknowns.REFUSE else "wait"
    return f"| `{rule.name}` | {rule.severity.value} | {unknown} | {rule.promise} |"


def remedies() -> Iterator[str]:
    for rule in BOOK.rules:
        reads = ""
        if isinstance(rule, ResourceRule):
            names = sorted(kind.rsplit(":", 1)[-1] for kind in rule.types)
            reads = f" Looks at {', '.join(dict.fromkeys(names))}."
        remedy = rule.remedy[0].upper() + rule.remedy[1:]
        yield f"- **{rule.name}**: {remedy}.{reads}\n"


if __name__ == "__main__":
    sys.stdout.write(page())
