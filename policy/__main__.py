"""Builds the policy pack. PolicyPack serves the engine and never returns."""

from __future__ import annotations

import sys
from pathlib import Path

# A language host runs this file in its own folder, where there is no package `policy`.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pulumi_policy import EnforcementLevel, PolicyPack

from policy import secrecy
from policy.pack import policies
from policy.rules import BOOK
from policy.settings import SettingsFault, load

try:
    settings = load(BOOK.names)
except SettingsFault as fault:
    raise SystemExit(str(fault)) from None
secrecy.keep_marks()
PolicyPack("anycastle", policies(BOOK.rules, settings), EnforcementLevel.MANDATORY)
