"""policy/config.yaml as typed values."""

from __future__ import annotations

import difflib
import enum
import fnmatch
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

FILE = Path(__file__).parent / "config.yaml"


class Level(enum.Enum):
    """What a violation does: fails the preview and the `up`, is shown, or is not looked for."""

    MANDATORY = "mandatory"
    ADVISORY = "advisory"
    DISABLED = "disabled"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the rules are set to; policy/config.yaml says what each field means."""

    rules: dict[str, Level] = {}
    rehearsals: tuple[str, ...] = ()
    fewest_nodes: int = 2
    fewest_datacentres: int = 2
    public_ports: tuple[int, ...] = (51820,)
    agent_port: int = 9178
    health_checks: tuple[str, ...] = ("TCP", "HTTP", "HTTPS")
    backup_days: int = 7
    audit_buckets: tuple[str, ...] = ("*audit*",)
    tags: tuple[str, ...] = ()
    unscoped_actions: tuple[str, ...] = ()
    internet_mtu: int = 1500
    idle_timeouts: dict[str, float] = {}
    idle_margin: float = 5.0
    turnover: float = 0.5

    def level(self, rule: str) -> Level:
        return self.rules.get(rule, Level.MANDATORY)

    def is_rehearsal(self, stack: str) -> bool:
        """Is the stack one that nobody depends on, so that redundancy is not asked of it?"""
        return matches(stack, self.rehearsals)


class SettingsFault(Exception):
    """policy/config.yaml is wrong; the text says where."""


def matches(text: str, patterns: Iterable[str]) -> bool:
    """Shell patterns, case and all."""
    return any(fnmatch.fnmatchcase(text, pattern) for pattern in patterns)


def parse(text: str, known: Iterable[str]) -> Settings:
    """known: names of all rules. Raises SettingsFault."""
    try:
        settings = msgspec.yaml.decode(text or "{}", type=Settings)
    except msgspec.MsgspecError as error:
        raise SettingsFault(f"{FILE.name}: {error}") from error
    if faults := [*_names(settings, set(known)), *_ranges(settings)]:
        raise SettingsFault("\n".join(f"{FILE.name}: {fault}" for fault in faults))
    return settings


def _names(settings: Settings, known: set[str]) -> Iterator[str]:
    for name in settings.rules:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            yield f"$.rules: there is no rule {name!r}{hint}"


def _ranges(settings: Settings) -> Iterator[str]:
    if not 0 < settings.turnover <= 1:
        yield f"$.turnover: {settings.turnover} is no share; give one above 0 and up to 1"
    for field in ("fewest_nodes", "fewest_datacentres", "backup_days"):
        if getattr(settings, field) < 1:
            yield f"$.{field}: {getattr(settings, field)} is less than 1"
    for port in (*settings.public_ports, settings.agent_port):
        if not 0 < port < 65536:
            yield f"$: {port} is no port"


def load(known: Iterable[str], file: Path = FILE) -> Settings:
    """Raises SettingsFault."""
    try:
        return parse(file.read_text(), known)
    except OSError as error:
        raise SettingsFault(f"{file}: {error.strerror}") from error
