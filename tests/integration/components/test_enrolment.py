"""The enrolment of clients against a real control plane."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from anycastle.model.codec import Key
from components import enrolment, keys
from tests.support.control_plane import Api, make_world, run_api
from tests.support.postgres import Postgres, cluster

Properties = dict[str, Any]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with cluster() as running:
        yield running


@pytest.fixture
async def api(postgres: Postgres, tmp_path: Path) -> AsyncIterator[Api]:
    async with run_api(await make_world(postgres, tmp_path)) as running:
        yield running


@pytest.fixture
def props(api: Api) -> Properties:
    """The inputs of a client's resource."""
    return {
        "name": "laptop",
        "url": api.url,
        "authority": Path(api.world.spec.ca_certificate_file).read_text(),
        "token": api.token,
        "epoch": "disk 1",
        "spec": "one",
    }


async def test_a_client_is_enrolled_with_keys_of_its_own(api: Api, props: Properties) -> None:
    outputs = await asyncio.to_thread(enrolment.enrol, props)
    private = Key.from_text(outputs["private_key"])
    assert outputs["addresses"] == ["10.200.0.16", "fd00:200::10"]
    configuration = outputs["configuration"].splitlines()
    assert f"PrivateKey = {private.text}" in configuration
    assert f"PresharedKey = {outputs['preshared_key']}" in configuration
    assert "Endpoint = 192.0.2.1:51820" in configuration
    assert "Address = 10.200.0.16/32, fd00:200::10/128" in configuration
    listed = (await api.call("GET", "/v1/clients/laptop")).json
    assert listed["public_key"] == keys.public_key(private).text
    assert {name: outputs[name] for name in enrolment.INPUTS} == props


async def test_it_exists_until_it_is_removed(props: Properties) -> None:
    outputs = await asyncio.to_thread(enrolment.enrol, props)
    assert await asyncio.to_thread(enrolment.exists, outputs)
    await asyncio.to_thread(enrolment.remove, outputs)
    assert not await asyncio.to_thread(enrolment.exists, outputs)
    await asyncio.to_thread(enrolment.remove, outputs)


async def test_new_settings_reach_the_file_and_keep_the_keys(api: Api, props: Properties) -> None:
    outputs = await asyncio.to_thread(enrolment.enrol, props)
    changed = api.world.with_spec(client_keepalive=11)
    async with run_api(changed) as again:
        news = props | {"url": again.url, "token": again.token, "spec": "two"}
        renewed = await asyncio.to_thread(enrolment.refreshed, outputs, news)
    assert "PersistentKeepalive = 11" in renewed["configuration"]
    for kept in ("private_key", "preshared_key", "addresses"):
        assert renewed[kept] == outputs[kept]
    assert renewed["spec"] == "two"


async def test_a_refusal_says_whom_and_why(props: Properties) -> None:
    await asyncio.to_thread(enrolment.enrol, props)
    with pytest.raises(enrolment.EnrolmentError, match="client 'laptop': the control plane ref"):
        await asyncio.to_thread(enrolment.enrol, props)


async def test_a_wrong_token_is_refused(props: Properties) -> None:
    with pytest.raises(enrolment.EnrolmentError, match="refused"):
        await asyncio.to_thread(enrolment.enrol, props | {"token": "x" * 43})


async def test_another_authority_is_not_trusted(props: Properties) -> None:
    other, _ = keys.certificate_authority("other", dt.datetime.now(dt.UTC))
    with pytest.raises(enrolment.EnrolmentError, match="no answer from the control plane"):
        await asyncio.to_thread(enrolment.enrol, props | {"authority": other})


async def test_while_nobody_answers_a_client_counts_as_there(props: Properties) -> None:
    """A refresh must not take a dead control plane for a lost client."""
    assert await asyncio.to_thread(enrolment.exists, props | {"url": "https://127.0.0.1:9"})
    with pytest.raises(enrolment.EnrolmentError, match="no answer"):
        await asyncio.to_thread(enrolment.remove, props | {"url": "https://127.0.0.1:9"})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, enrolment.Difference(changed=False, replaces=())),
        ({"name": "tablet"}, enrolment.Difference(changed=True, replaces=("name",))),
        ({"epoch": "disk 2"}, enrolment.Difference(changed=True, replaces=("epoch",))),
        ({"spec": "two"}, enrolment.Difference(changed=True, replaces=())),
        ({"token": "new"}, enrolment.Difference(changed=True, replaces=())),
        ({"configuration": "whatever"}, enrolment.Difference(changed=False, replaces=())),
    ],
)
def test_what_a_difference_means(change: Properties, expected: enrolment.Difference) -> None:
    olds = dict.fromkeys(enrolment.INPUTS, "x")
    assert enrolment.difference(olds, olds | change) == expected
