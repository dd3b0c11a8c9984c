from pathlib import Path

import msgspec
import pytest

from anycastle.agent import settings
from anycastle.agent.settings import SettingsError
from anycastle.model.codec import Key, to_json
from anycastle.model.node import Loopbacks, Peer
from tests.support.loop_world import write_settings
from tests.support.node import SERVICE_KEY, node_spec


def peer(number: int, name: str = "") -> Peer:
    own = node_spec().loopbacks
    loopbacks = Loopbacks(own.v4 + number - 1, own.v6 + number - 1)
    return Peer(name=name or f"ams-{number}", datacentre="ams", loopbacks=loopbacks)


def test_everything_is_read(tmp_path: Path) -> None:
    write_settings(tmp_path, node_spec(), peer(3), peer(2))
    read = settings.load(tmp_path)
    assert read.spec == node_spec()
    assert [one.name for one in read.peers] == ["ams-2", "ams-3"]
    assert read.service_key == SERVICE_KEY
    assert read.rank == 0


def test_the_node_itself_is_no_peer(tmp_path: Path) -> None:
    write_settings(tmp_path, node_spec(), peer(1), peer(2))
    assert [one.name for one in settings.load(tmp_path).peers] == ["ams-2"]


def test_rank_counts_lower_router_ids(tmp_path: Path) -> None:
    own = node_spec()
    lower = Peer(
        name="a", datacentre="ams", loopbacks=Loopbacks(own.loopbacks.v4 - 1, own.loopbacks.v6)
    )
    write_settings(tmp_path, own, peer(2), lower)
    assert settings.load(tmp_path).rank == 1


def test_an_empty_directory_says_who_has_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"node\.json: No such file .* bootstrap"):
        settings.load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"asn":64512', '"asn":"x"', r"node\.json: asn: Expected `int`"),
        ('"asn":64512', '"asn":0', r"node\.json: asn: an AS number is"),
        ('"port":51820', '"port":70000', r"node\.json: anycast\.port: a port is from 1"),
        ('"device":"up0"', '"device":"up 0"', r"node\.json: edges\[0\]\.device: not a device"),
        ('"rise":3', '"rise":0', r"node\.json: health\.rise: at least 1"),
        ('"name":"ams-1"', '"nane":"ams-1"', r"node\.json: Object contains unknown field"),
        ("10.64.0.1", "10.64.0.999", r"node\.json: loopbacks\.v4: "),
        ('"asn":', '"asn"', r"node\.json: JSON is malformed"),
    ],
)
def test_a_bad_spec_names_file_and_field(tmp_path: Path, old: str, new: str, message: str) -> None:
    write_settings(tmp_path, node_spec())
    path = tmp_path / "node.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(SettingsError, match=message):
        settings.load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"name":"ams-3"', '"name":3', r"peers\.json: \[1\]\.name: Expected `str`"),
        ("10.64.0.3", "10.64.0.x", r"peers\.json: \[1\]\.loopbacks\.v4: '10\.64\.0\.x' is not"),
        ('"ams-3"', '"ams-2"', r"peers\.json: \[1\]\.name: ams-2 is that of \[0\], too"),
        ("10.64.0.3", "10.64.0.2", r"\[1\]\.loopbacks\.v4: 10\.64\.0\.2 is that of \[0\]"),
        ("fd00:64::3", "fd00:64::2", r"\[1\]\.loopbacks\.v6: fd00:64::2 is that of \[0\]"),
        ("[{", "{", r"peers\.json: Expected `array`|peers\.json: JSON is malformed"),
    ],
)
def test_a_bad_peer_names_file_and_field(tmp_path: Path, old: str, new: str, message: str) -> None:
    write_settings(tmp_path, node_spec(), peer(2), peer(3))
    path = tmp_path / "peers.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(SettingsError, match=message):
        settings.load(tmp_path)


def test_without_its_peers_a_node_says_who_has_to_write_them(tmp_path: Path) -> None:
    write_settings(tmp_path, node_spec())
    (tmp_path / "peers.json").unlink()
    with pytest.raises(SettingsError, match=r"peers\.json: No such file .* bootstrap"):
        settings.load(tmp_path)


@pytest.mark.parametrize("text", ["", "not base64!", "AAAA"])
def test_a_bad_key_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    write_settings(tmp_path, node_spec())
    (tmp_path / "service.key").write_text(text)
    with pytest.raises(SettingsError, match=r"service\.key: not a WireGuard private key") as caught:
        settings.load(tmp_path)
    assert not text or text not in str(caught.value)


def test_what_needs_a_restart(tmp_path: Path) -> None:
    write_settings(tmp_path, node_spec())
    old = settings.load(tmp_path)
    live = msgspec.structs.replace(old.spec, edges=(), services=())
    (tmp_path / "node.json").write_bytes(to_json(live))
    assert settings.needs_restart(old, settings.load(tmp_path)) == []
    (tmp_path / "node.json").write_bytes(to_json(msgspec.structs.replace(live, listen_port=9999)))
    (tmp_path / "service.key").write_text(Key(b"\x07" * 32).text)
    assert settings.needs_restart(old, settings.load(tmp_path)) == ["listen_port", "service.key"]
