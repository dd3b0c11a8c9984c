"""The files in stacks/: each is good, and together they show all that can be set."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from anycastle.model.deployment import Deployment
from components.settings import Settings, files, parse_stack
from components.settings.stacks import StackSettings

STACKS = Path(__file__).parents[4] / "stacks"
NAMES = sorted(file.name.split(".")[1] for file in STACKS.glob("Pulumi.*.yaml"))


def load(name: str) -> Settings:
    documents = files.others("", STACKS)
    return parse_stack(name, documents.pop(name), documents)


@pytest.mark.parametrize("name", NAMES)
def test_a_stack_file_is_accepted(name: str) -> None:
    assert load(name).deployment.name


def test_regions_and_their_global_stack_are_one_deployment() -> None:
    whole = load("global").deployment
    assert [load(name).deployment for name in ("aws-eu-west-1", "metal-fra")] == [whole, whole]
    assert [dc.name for dc in whole.datacentres] == ["dub", "iad", "fra"]


@pytest.mark.parametrize(
    ("name", "own"), [("global", ()), ("aws-us-east-1", ("iad",)), ("lab", ("ams", "fra"))]
)
def test_a_stack_makes_its_own_datacentres(name: str, own: tuple[str, ...]) -> None:
    assert tuple(datacentre.name for datacentre in load(name).datacentres) == own


def fields(kind: Any, seen: set[Any]) -> Iterator[str]:
    """Names of all settings that a struct has, at whatever depth."""
    members = typing.get_args(kind)
    if typing.get_origin(kind) in (typing.Union, types.UnionType, tuple, dict):
        for member in members:
            yield from fields(member, seen)
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in seen:
        seen.add(kind)
        for field in msgspec.structs.fields(kind):
            yield field.name
            yield from fields(field.type, seen)


@pytest.mark.parametrize("kind", [Deployment, StackSettings])
def test_the_sample_shows_every_setting(kind: Any) -> None:
    text = (STACKS / "Pulumi.sample.yaml").read_text()
    words = set(re.findall(r"[a-z_0-9]+", text))
    assert set(fields(kind, set())) - words == set()
