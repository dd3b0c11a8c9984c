"""`anycastle-agent check`: everything that can be wrong before the agent starts."""

from __future__ import annotations

from pathlib import Path

from anycastle.agent import settings as settings_files
from anycastle.agent.routing.driver import RoutingError, driver_for
from anycastle.agent.settings import Settings, SettingsError


async def check(directory: Path) -> int:
    """Print one line per thing looked at. Returns the exit code."""
    try:
        settings = settings_files.load(directory)
    except SettingsError as error:
        print(f"bad   {error}")
        return 1
    print(f"good  settings of node {settings.spec.name}, {len(settings.peers)} other nodes")
    problems = [*_files(directory, settings), *await _routing(settings)]
    for problem in problems:
        print(f"bad   {problem}")
    return 1 if problems else 0


def _files(directory: Path, settings: Settings) -> list[str]:
    ca = Path(settings.spec.control.ca_file)
    problems = []
    if not ca.is_file():
        problems.append(f"{ca}: the control plane's CA certificate is missing")
    key = directory / "service.key"
    if key.stat().st_mode & 0o077:
        problems.append(f"{key}: others than root can read it: chmod 600 {key}")
    return problems


async def _routing(settings: Settings) -> list[str]:
    driver = driver_for(settings.spec.routing)
    try:
        await driver.check(driver.render(settings.spec, settings.peers))
    except RoutingError as error:
        return [str(error)]
    print(f"good  {driver.name} takes the configuration")
    return []
