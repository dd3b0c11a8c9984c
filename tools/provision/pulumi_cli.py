"""The Pulumi CLI and its Python language host.

In this order: a recent enough `pulumi` on PATH, the vendor's installer, a build from public Go modules
(tools/pulumi holds their go.mod and go.sum, so it is the very same source every time). The last one is
what a machine without the vendor's download site gets.
"""

from __future__ import annotations

import re
import shutil
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tools.places import CHECKOUT, cache_root, digest_files
from tools.provision import go_toolchain
from tools.provision.commands import CommandFailed, Shell, output
from tools.provision.graph import Step

AT_LEAST = (3, 259, 0)
HOST_VERSION = "3.79.0"
INSTALLER = "https://get.pulumi.com"
INSTALLER_SECONDS = 5.0
MODULES = CHECKOUT / "tools" / "pulumi"
CLI_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
HOST_PACKAGE = "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python"
SDK_MODULE = "github.com/pulumi/pulumi/sdk/v3"
HOST_SCRIPTS = (
    "python/cmd/pulumi-language-python-exec",
    "python/dist/pulumi-resource-pulumi-python",
)


def made_folder() -> Path:
    """Where the CLI and the host that set-up brought lie, side by side: the CLI then takes the host
    for its own."""
    modules = [MODULES / part / name for part in ("cli", "host") for name in ("go.mod", "go.sum")]
    return cache_root() / "pulumi" / digest_files(modules) / "bin"


def parse(printed: str) -> tuple[int, ...]:
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", printed.strip())
    return tuple(int(part) for part in found.groups()) if found else ()


def on_path() -> Path | None:
    """A `pulumi` of the person's own that is recent enough."""
    found = shutil.which("pulumi")
    if not found or cache_root() in Path(found).resolve().parents:
        return None
    return Path(found) if parse(output([found, "version"]) or "") >= AT_LEAST else None


def cli() -> Path | None:
    """The `pulumi` to use, None before it is there."""
    made = made_folder() / "pulumi"
    return on_path() or (made if made.exists() else None)


def host_folder() -> Path | None:
    """Where `pulumi-language-python` is: beside the CLI when it came with it."""
    command = cli()
    for folder in (command.resolve().parent if command else None, made_folder()):
        if folder and (folder / "pulumi-language-python").exists():
            return folder
    return None


def search_path() -> list[Path]:
    """The folders that belong on PATH."""
    command, host = cli(), host_folder()
    folders = [command.parent if command else None, host]
    return list(dict.fromkeys(folder for folder in folders if folder))


def version_text() -> str:
    return ".".join(str(part) for part in AT_LEAST)


def make_cli(shell: Shell) -> None:
    try:
        from_installer(shell, made_folder().parent)
    except (CommandFailed, OSError) as error:
        shell.note(
            f"the vendor's installer can't be used ({error}); building it takes some 3 minutes"
        )
        build(shell, "cli", CLI_PACKAGE, version_text(), made_folder() / "pulumi")


def from_installer(shell: Shell, root: Path) -> None:
    """Raises OSError when the vendor can't be reached, CommandFailed when its script fails."""
    with urllib.request.urlopen(INSTALLER, timeout=INSTALLER_SECONDS) as answer:
        script = answer.read()
    partial = root.with_name(root.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / "install.sh").write_bytes(script)
    options: list[str | Path] = ["--version", version_text(), "--install-root", partial]
    shell.run(["sh", partial / "install.sh", *options, "--no-edit-path"], timeout=300)
    shell.run([partial / "bin" / "pulumi", "version"])
    shutil.rmtree(root, ignore_errors=True)
    partial.rename(root)


def make_host(shell: Shell) -> None:
    """Build the language host; its two Python scripts come from the SDK that the CLI is built from."""
    environment = go_environment()
    go = go_toolchain.find(shell, MODULES / "cli" / "go.mod")
    shell.run([go, "mod", "download", SDK_MODULE], cwd=MODULES / "cli", env=environment)
    listing: list[str | Path] = [go, "list", "-m", "-f", "{{.Dir}}", SDK_MODULE]
    source = shell.capture(listing, cwd=MODULES / "cli", env=environment).strip()
    made_folder().mkdir(parents=True, exist_ok=True)
    for script in HOST_SCRIPTS:
        copy = made_folder() / Path(script).name
        shutil.copyfile(Path(source) / script, copy)
        copy.chmod(0o755)
    build(shell, "host", HOST_PACKAGE, HOST_VERSION, made_folder() / "pulumi-language-python")
    shutil.rmtree(go_work(), ignore_errors=True)  # 4 GB that nobody needs again


def build(shell: Shell, part: str, package: str, version: str, target: Path) -> None:
    """Build `package` of the module tools/pulumi/`part` into the file `target`."""
    module = MODULES / part
    go = go_toolchain.find(shell, module / "go.mod")
    flags = f"-s -w -X {SDK_MODULE}/go/common/version.Version=v{version}"
    partial = target.with_name(target.name + ".partial")
    command: list[str | Path] = [go, "build", "-mod=readonly", "-trimpath", "-ldflags", flags]
    shell.run([*command, "-o", partial, package], cwd=module, env=go_environment())
    partial.rename(target)


def go_work() -> Path:
    return cache_root() / "go-work"


def go_environment() -> Mapping[str, str]:
    """Build and module caches of our own, so that they can be dropped afterwards."""
    return {
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-modcacherw",
        "GOCACHE": str(go_work() / "build"),
        "GOMODCACHE": str(go_work() / "modules"),
        "GOWORK": "off",
    }


def steps() -> list[Step]:
    remedy = (
        "install Pulumi yourself (any way) so that it is on PATH, or let Go reach its module proxy"
    )
    return [
        Step("pulumi-cli", lambda: cli() is not None, make_cli, ("debian-lab",), remedy),
        Step(
            "pulumi-python", lambda: host_folder() is not None, make_host, ("pulumi-cli",), remedy
        ),
    ]
