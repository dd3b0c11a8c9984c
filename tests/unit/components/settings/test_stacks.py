"""One deployment out of several stacks' files, and what is wrong with their parts."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from anycastle.model.codec import ModelError
from components.settings import SettingsError, files, parse_stack

STACKS = Path(__file__).parents[4] / "stacks"
REGION = "aws-eu-west-1"
Documents = dict[str, dict[str, Any]]


@pytest.fixture
def documents() -> Documents:
    found = files.others("", STACKS)
    kept = ("global", REGION, "aws-us-east-1", "metal-fra")
    return copy.deepcopy({name: dict(found[name]) for name in kept})


def faults(documents: Documents, name: str) -> list[str]:
    others = {other: value for other, value in documents.items() if other != name}
    with pytest.raises(SettingsError) as caught:
        parse_stack(name, documents[name], others)
    return [str(fault) for fault in caught.value.faults]


def test_a_region_more_is_one_file_more(documents: Documents) -> None:
    more = copy.deepcopy(documents["aws-us-east-1"])
    datacentre = more["anycastle:datacentre"]
    datacentre["name"] = "cmh"
    datacentre["nodes"] = [
        {"name": "cmh-1", "id": 41, "zone": "us-east-2a"},
        {"name": "cmh-2", "id": 42, "zone": "us-east-2b"},
    ]
    datacentre["aws"] |= {
        "region": "us-east-2",
        "network": "10.31.0.0/16",
        "zones": ["us-east-2a", "us-east-2b"],
    }
    settings = parse_stack(REGION, documents.pop(REGION), documents | {"aws-us-east-2": more})
    assert [dc.name for dc in settings.deployment.datacentres] == ["dub", "iad", "cmh", "fra"]
    assert settings.own == ("dub",)


def test_what_is_taken_is_named_with_the_file_where(documents: Documents) -> None:
    documents["aws-us-east-1"]["anycastle:datacentre"]["nodes"][1]["id"] = 11
    assert faults(documents, REGION) == [
        (
            "Pulumi.aws-us-east-1.yaml anycastle:datacentre.nodes[1].id: 11 is taken by "
            "anycastle:datacentre.nodes[0].id"
        )
    ]


def test_a_fault_of_the_own_file_has_no_file_name(documents: Documents) -> None:
    documents[REGION]["anycastle:datacentre"]["nodes"][0]["zoen"] = "eu-west-1a"
    del documents[REGION]["anycastle:datacentre"]["nodes"][0]["zone"]
    assert faults(documents, REGION) == [
        "anycastle:datacentre.nodes[0].zoen: unknown key; did you mean 'zone'?"
    ]


def test_a_fault_of_the_global_file_has(documents: Documents) -> None:
    documents["global"]["anycastle:deployment"]["client_keepalive"] = 26
    (fault,) = faults(documents, REGION)
    assert fault.startswith("Pulumi.global.yaml anycastle:deployment.client_keepalive: 26 is not")
    (fault,) = faults(documents, "global")
    assert fault.startswith("anycastle:deployment.client_keepalive: 26 is not")


@pytest.mark.parametrize(
    ("stack", "key", "value", "says"),
    [
        (REGION, "anycastle:stack", {"role": "region"}, "anycastle:stack.reads: missing; a region"),
        (
            REGION,
            "anycastle:stack",
            {"role": "region", "reads": "nobody"},
            "anycastle:stack.reads: there is no Pulumi.nobody.yaml",
        ),
        (
            REGION,
            "anycastle:stack",
            {"role": "region", "reads": "metal-fra"},
            "anycastle:stack.reads: Pulumi.metal-fra.yaml is not the file of a global stack",
        ),
        (
            REGION,
            "anycastle:stack",
            {"role": "continent"},
            "anycastle:stack.role: 'continent' is not one of whole, global, region",
        ),
        (REGION, "anycastle:deployment", {}, "anycastle:deployment: belongs to the global stack's"),
        (REGION, "anycastle:datacentre", None, "anycastle:datacentre: missing; a region's file"),
        ("global", "anycastle:datacentre", {}, "anycastle:datacentre: belongs to the file of a"),
        ("global", "anycastle:deployment", None, "anycastle:deployment: missing; it describes"),
        ("global", "anycastle:lab", {}, "anycastle:lab: a lab is one stack"),
        (
            "global",
            "anycastle:stack",
            {"role": "global", "reads": "x"},
            "anycastle:stack.reads: a global stack reads no other",
        ),
    ],
)
def test_parts_in_the_wrong_place(
    documents: Documents, stack: str, key: str, value: object, says: str
) -> None:
    documents[stack][key] = value
    (fault,) = faults(documents, stack)
    assert fault.startswith(says)


def test_datacentres_stand_in_the_regions_files(documents: Documents) -> None:
    documents["global"]["anycastle:deployment"]["datacentres"] = []
    where = "anycastle:deployment.datacentres: stand in the regions' files, each under"
    assert faults(documents, "global")[0].startswith(where)
    assert faults(documents, REGION)[0].startswith(f"Pulumi.global.yaml {where}")


def test_a_region_beside_it_without_a_datacentre(documents: Documents) -> None:
    documents["aws-us-east-1"]["anycastle:datacentre"] = None
    assert faults(documents, REGION) == ["Pulumi.aws-us-east-1.yaml anycastle:datacentre: missing"]


def test_regions_of_another_deployment_do_not_count(documents: Documents) -> None:
    documents["aws-us-east-1"]["anycastle:stack"]["reads"] = "another"
    settings = parse_stack(REGION, documents.pop(REGION), documents)
    assert [dc.name for dc in settings.deployment.datacentres] == ["dub", "fra"]


def test_a_lab_is_no_region(documents: Documents) -> None:
    documents["metal-fra"]["anycastle:datacentre"]["kind"] = "lab"
    del documents["metal-fra"]["anycastle:datacentre"]["metal"]
    assert "anycastle:datacentre.kind: a lab is one stack without a role" in faults(
        documents, "metal-fra"
    )


def test_a_file_that_is_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.bad.yaml").write_text("config: [")
    with pytest.raises(ModelError, match=r"^Pulumi\.bad\.yaml: can't be read: "):
        files.others("mine", tmp_path)


def test_the_own_file_is_pulumis_to_read(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.mine.yaml").write_text("config: [")
    (tmp_path / "Pulumi.empty.yaml").write_text("")
    (tmp_path / "delivery.yaml").write_text("canary: x")
    assert list(files.others("mine", tmp_path)) == ["empty"]
