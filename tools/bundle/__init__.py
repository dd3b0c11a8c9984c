"""Bundles: all that a host installs for its role, in one file that needs no network.

    from tools.bundle import build
    bundle = build("agent")          # Bundle(role="agent", version="…", archive=Path("….tar"))

On the host, as root: `tar -xf agent.tar -C D && sh D/install.sh`.
"""

from tools.bundle.build import Bundle, Cloud, Role, build

__all__ = ["Bundle", "Cloud", "Role", "build"]
