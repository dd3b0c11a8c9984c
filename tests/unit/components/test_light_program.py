"""A lab's program does not wait for the SDK of a cloud that it has nothing in."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]


def program_imports() -> list[str]:
    tree = ast.parse((CHECKOUT / "__main__.py").read_text())
    return [
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    ]


def test_the_program_loads_without_it() -> None:
    modules = ", ".join(["components.lab.lab", *program_imports()])
    code = f"""
import sys, {modules}
print(*(name for name in sys.modules if name.startswith(("pulumi_aws", "boto"))))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        env={"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'runtime'}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []
