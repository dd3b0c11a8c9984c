"""Runs on the host, by Debian's Python: unpacks every wheel of a bundle into a virtual environment.

    python3 unpack.py BUNDLE ENVIRONMENT

It uses `installer` (PyPA's), itself one of the wheels: much less work than pip for a small host, and
nothing to resolve, as the lock file has decided everything.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path


def unpack(wheels: list[Path], environment: Path) -> None:
    """`installer` must be importable: main() puts its wheel on the path."""
    from installer import install  # noqa: PLC0415
    from installer.destinations import SchemeDictionaryDestination  # noqa: PLC0415
    from installer.sources import WheelFile  # noqa: PLC0415

    scheme = sysconfig.get_paths("venv", {"base": str(environment), "platbase": str(environment)})
    destination = SchemeDictionaryDestination(
        {name: scheme[name] for name in ("purelib", "platlib", "scripts", "data")}
        | {"headers": str(environment / "include")},
        interpreter=str(environment / "bin" / "python"),
        script_kind="posix",
    )
    for wheel in wheels:
        with WheelFile.open(wheel) as source:
            install(source=source, destination=destination, additional_metadata={})


def main() -> None:
    bundle, environment = Path(sys.argv[1]), Path(sys.argv[2])
    wheels = sorted((bundle / "wheels").glob("*.whl"))
    sys.path[:0] = [str(wheel) for wheel in wheels if wheel.name.startswith("installer-")]
    unpack(wheels, environment)


if __name__ == "__main__":
    main()
