"""Imports point one way (docs/architecture.md); the reasons stand in RULES.

components ──► model ◄── agent, control, cli          model ──► msgspec, the standard library
agent, control ──► aws ──► model
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "runtime"
TOP = ("runtime", "components", "policy", "tools", "tests", "benchmarks")

# Distributions whose modules are not called like them.
MODULES = {
    "boto3": {"boto3", "botocore"},
    "psycopg": {"psycopg", "psycopg_pool"},
    "prometheus-client": {"prometheus_client"},
}

ONE_WAY = (
    "a node, a control-plane host and an operator's machine each install their own part only, so "
    "parts meet in anycastle.model alone; move what both need there (pure, msgspec only), or pass "
    "it in as an argument"
)
MODEL_ONLY = (
    "every part imports the model, also the Pulumi program, which must not drag a node's runtime "
    "in; the model stays msgspec and the standard library"
)
PROGRAM = (
    "the Pulumi program describes nodes and never runs their code: what it needs of them are the "
    "model's shapes"
)
EXTRA = (
    "the host that installs this part installs its extra in runtime/pyproject.toml and nothing "
    "else: add the dependency there (and to docs/dependencies.md) or do without"
)
NO_RUNTIME = (
    "`runtime` is a distribution root, no package: the import works by accident of the working "
    "directory, and loads a second copy of each module whose classes are not the first one's"
)


@dataclass(frozen=True)
class Rule:
    """packages under `anycastle` that a part may import; the extra that it installs."""

    allowed: frozenset[str]
    extra: str | None
    why: str


RULES = {
    "model": Rule(frozenset({"model"}), None, MODEL_ONLY),
    "aws": Rule(frozenset({"model", "aws"}), "aws", ONE_WAY),
    "agent": Rule(frozenset({"model", "agent", "aws"}), "agent", ONE_WAY),
    "control": Rule(frozenset({"model", "control", "aws"}), "control", ONE_WAY),
    "cli": Rule(frozenset({"model", "cli"}), "cli", ONE_WAY),
}


def sources(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(folder.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything that a file imports, wherever in it."""
    package = path.relative_to(RUNTIME if path.is_relative_to(RUNTIME) else ROOT).parent.parts
    return imported(path.read_text(), package, str(path))


def imported(text: str, package: tuple[str, ...], name: str = "") -> Iterator[tuple[int, str]]:
    """As `imports`, of a file's text. package: that the file lies in."""
    for node in ast.walk(ast.parse(text, name)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else ())))
            # `from anycastle import agent` names a package, `from x import f` does not.
            names = [f"{module}.{alias.name}" for alias in node.names]
            yield from ((node.lineno, name) for name in names)


def allowed_modules(extra: str | None) -> set[str]:
    project = tomllib.loads((RUNTIME / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + (
        project["optional-dependencies"][extra] if extra is not None else []
    )
    names = {re.split(r"[\[<>=~!; ]", requirement, maxsplit=1)[0] for requirement in wanted}
    return {module for name in names for module in MODULES.get(name, {name.replace("-", "_")})}


def complaints(part: str, rule: Rule) -> Iterator[str]:
    third_party = allowed_modules(rule.extra)
    for path in sources(RUNTIME / "anycastle" / part):
        for line, name in imports(path):
            top, _, rest = name.partition(".")
            where = f"{path.relative_to(ROOT)}:{line}: imports {name}"
            if top == "anycastle":
                inner = rest.partition(".")[0]
                if inner in RULES and inner not in rule.allowed:
                    yield f"{where}\n    why not: {rule.why}"
            elif top in TOP:
                yield f"{where}\n    why not: hosts install the wheel of runtime/ and no more"
            elif top not in sys.stdlib_module_names and top not in third_party:
                yield f"{where}\n    why not: {EXTRA if rule.extra else rule.why}"


@pytest.mark.parametrize("part", RULES)
def test_parts_of_the_runtime(part: str) -> None:
    found = list(complaints(part, RULES[part]))
    assert not found, "\n" + "\n".join(found)


def test_every_part_has_a_rule() -> None:
    parts = {path.name for path in (RUNTIME / "anycastle").iterdir() if path.is_dir()}
    assert parts - {"__pycache__"} == set(RULES), "a new part needs its rule here"


def test_program_imports_the_model_only() -> None:
    files = [*sources(ROOT / "components", ROOT / "policy"), ROOT / "__main__.py"]
    found = [
        f"{path.relative_to(ROOT)}:{line}: imports {name}\n    why not: {PROGRAM}"
        for path in files
        if path.exists()
        for line, name in imports(path)
        if name.startswith("anycastle.") and not name.startswith("anycastle.model")
        and name != "anycastle.__version__"
    ]  # fmt: skip
    assert not found, "\n" + "\n".join(found)


def test_nobody_imports_runtime() -> None:
    files = [*sources(*(ROOT / folder for folder in TOP)), *ROOT.glob("*.py")]
    found = [
        f"{path.relative_to(ROOT)}:{line}: imports {name}\n    why not: {NO_RUNTIME}"
        for path in files
        for line, name in imports(path)
        if name.partition(".")[0] == "runtime"
    ]
    assert not found, "\n" + "\n".join(found)


def test_the_walk_sees_every_form_of_import() -> None:
    text = "from . import api\nfrom ..control import store\ndef f():\n    import runtime.x\n"
    assert list(imported(text, ("anycastle", "cli"))) == [
        (1, "anycastle.cli.api"),
        (2, "anycastle.control.store"),
        (4, "runtime.x"),
    ]
