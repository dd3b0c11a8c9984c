"""Answers to data sources. A stack that needs the truth pins it in its file instead of asking."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tools.offline.preview.stand_ins import ACCOUNT, MARK

Arguments = Mapping[str, Any]
Answer = dict[str, Any]


class NoAnswer(Exception):
    """The program asks what only the cloud knows."""

    def __init__(self, token: str) -> None:
        super().__init__(
            f"the preview-only plugin can't answer {token}: nothing here reaches a cloud. "
            "Pin the value in the stack's file, or give the function a stand-in in "
            "tools/offline/preview/functions.py"
        )


def answer(token: str, arguments: Arguments, region: str) -> Answer:
    """Raises NoAnswer."""
    found = FUNCTIONS.get(token)
    if found is None:
        raise NoAnswer(token)
    return {"id": f"{MARK}-{token.rsplit(':', 1)[-1]}", **found(arguments, region)}


def _caller(_: Arguments, region: str) -> Answer:
    return {
        "accountId": ACCOUNT,
        "arn": f"arn:aws:iam::{ACCOUNT}:role/{MARK}",
        "userId": MARK,
        "region": region,
    }


def _region(arguments: Arguments, region: str) -> Answer:
    name = arguments.get("region") or region
    return {"region": name, "name": name, "description": MARK, "endpoint": f"ec2.{MARK}.invalid"}


def _partition(_: Arguments, __: str) -> Answer:
    return {"partition": "aws", "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"}


def _zones(_: Arguments, region: str) -> Answer:
    names = [f"{region}{letter}" for letter in "abc"]
    return {
        "names": names,
        "zoneIds": [f"{MARK}-az{number}" for number in (1, 2, 3)],
        "groupNames": [region],
        "region": region,
    }


def _image(arguments: Arguments, region: str) -> Answer:
    return {
        "imageId": f"ami-{MARK}",
        "name": f"{MARK}-image",
        "ownerId": next(iter(arguments.get("owners") or [ACCOUNT])),
        "region": region,
    }


FUNCTIONS: Mapping[str, Callable[[Arguments, str], Answer]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": _caller,
    "aws:index/getRegion:getRegion": _region,
    "aws:index/getPartition:getPartition": _partition,
    "aws:index/getAvailabilityZones:getAvailabilityZones": _zones,
    "aws:ec2/getAmi:getAmi": _image,
}
