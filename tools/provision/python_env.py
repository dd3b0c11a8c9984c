"""The Python environment: the locked packages once in the cache, and a thin `.venv` per checkout.

The cached one is filled by pip (so the user's own pip configuration counts) from requirements/dev.txt
with hashes, and is never changed afterwards. A checkout's `.venv` adds its site-packages to its own and
has the checkout's `runtime/` installed in editable form, so that a second checkout costs seconds.
"""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

from tools.places import CHECKOUT, VENV, cache_root, digest
from tools.provision.commands import Shell
from tools.provision.graph import Step

SYSTEM_PYTHON = Path("/usr/bin/python3")
LOCK = CHECKOUT / "requirements" / "dev.txt"
RUNTIME = CHECKOUT / "runtime"
SITE = Path("lib") / "python{}.{}".format(*platform.python_version_tuple())


def packages_env() -> Path:
    """The cached environment of this lock file and this Python."""
    key = digest(LOCK.read_bytes(), platform.python_version(), platform.machine())
    return cache_root() / "python" / key


def packages_ready() -> bool:
    return (packages_env() / "complete").exists()


def install_packages(shell: Shell) -> None:
    env = packages_env()
    if env.exists():
        shutil.rmtree(env)  # one that was interrupted
    shell.run([SYSTEM_PYTHON, "-m", "venv", env])
    pip: list[str | Path] = [
        env / "bin" / "python",
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
    ]
    shell.run([*pip, "install", "--no-color", "--progress-bar=off", "--require-hashes", "-r", LOCK])
    (env / "complete").touch()


def checkout_key() -> str:
    return digest(str(packages_env()), str(CHECKOUT), (RUNTIME / "pyproject.toml").read_bytes())


def checkout_ready() -> bool:
    try:
        return (VENV / "anycastle-key").read_text() == checkout_key()
    except OSError:
        return False


def make_checkout_env(shell: Shell) -> None:
    base = packages_env()
    shell.run([SYSTEM_PYTHON, "-m", "venv", "--clear", "--without-pip", VENV])
    site = VENV / SITE / "site-packages"
    (site / "anycastle-packages.pth").write_text(
        f"import site; site.addsitedir({str(base / SITE / 'site-packages')!r})\n"
    )
    for script in sorted((base / "bin").iterdir()):
        adopt(script, VENV / "bin" / script.name, base)
    pip: list[str | Path] = [
        VENV / "bin" / "python",
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
    ]
    options = [
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--config-settings",
        "editable_mode=compat",
    ]
    shell.run([*pip, "install", *options, "--editable", RUNTIME])
    (VENV / "anycastle-key").write_text(checkout_key())


def adopt(script: Path, target: Path, base: Path) -> None:
    """Give the checkout the command `script` of the environment `base`, run by its own interpreter.

    Folders are no commands: pip compiles those that are Python files, into `__pycache__`.
    """
    if (
        script.is_dir()
        or target.exists()
        or script.name.startswith(("python", "activate", "Activate"))
    ):
        return
    data = script.read_bytes()
    shebang = b"#!" + str(base / "bin").encode() + b"/python"
    if not data.startswith(shebang):
        target.symlink_to(script)
        return
    rest = data.split(b"\n", 1)[1]
    target.write_bytes(b"#!" + str(VENV / "bin" / "python").encode() + b"\n" + rest)
    target.chmod(0o755)


def steps() -> list[Step]:
    return [
        Step(
            name="python-packages",
            ready=packages_ready,
            action=install_packages,
            needs=("debian-lab",),
            remedy="check that pip reaches its package index (`pip config list`), then run it again",
        ),
        Step(
            name="python-checkout",
            ready=checkout_ready,
            action=make_checkout_env,
            needs=("python-packages",),
        ),
    ]
