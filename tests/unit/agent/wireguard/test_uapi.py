"""The userspace configuration protocol's text."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.wireguard import uapi
from anycastle.agent.wireguard.edge import (
    BATCH,
    DeviceOperation,
    DeviceState,
    Initiate,
    PeerConfig,
    PeerSample,
    PutPeer,
    Quiet,
    RemovePeer,
    SetDevice,
    clamp,
    in_order,
)
from anycastle.model.addresses import Endpoint, Network
from anycastle.model.codec import Key
from tests.support.node import SERVICE_KEY, key

ANSWER = f"""\
private_key={clamp(SERVICE_KEY).hex()}
listen_port=51820
fwmark=51820
public_key={key(1).hex()}
preshared_key={key(2).hex()}
protocol_version=1
endpoint=203.0.113.1:40000
last_handshake_time_sec=1900000000
last_handshake_time_nsec=500000000
tx_bytes=92
rx_bytes=148
persistent_keepalive_interval=0
allowed_ip=fd00:200::10/128
allowed_ip=10.200.0.16/32
public_key={key(3).hex()}
preshared_key={"0" * 64}
protocol_version=1
endpoint=[2001:db8::1]:4000
last_handshake_time_sec=0
last_handshake_time_nsec=0
tx_bytes=0
rx_bytes=0
persistent_keepalive_interval=25
errno=0

"""
IPS = (ip_network("10.200.0.16/32"), ip_network("fd00:200::10/128"))


def test_a_device_is_read() -> None:
    assert uapi.device_state(ANSWER) == DeviceState(
        51820,
        51820,
        clamp(SERVICE_KEY),
        {key(1): PeerConfig(key(1), key(2), IPS), key(3): PeerConfig(key(3), keepalive=25)},
    )


def test_activity_is_read() -> None:
    assert uapi.samples(ANSWER) == [
        PeerSample(key(1), Endpoint(IPv4Address("203.0.113.1"), 40000), 1.9e9 + 0.5, 148, 92),
        PeerSample(key(3), Endpoint(IPv6Address("2001:db8::1"), 4000), 0.0, 0, 0),
    ]


def test_an_unconfigured_device_has_nothing() -> None:
    assert uapi.device_state("listen_port=0\nerrno=0\n\n") == DeviceState(0, 0, None, {})


def test_settings_and_peers_become_requests() -> None:
    operations: list[DeviceOperation] = [
        SetDevice(SERVICE_KEY, 51820, 7),
        PutPeer(PeerConfig(key(1), key(2), IPS)),
        RemovePeer(key(3)),
    ]
    (text,) = uapi.set_requests(operations)
    assert text == (
        f"set=1\nprivate_key={clamp(SERVICE_KEY).hex()}\nlisten_port=51820\nfwmark=7\n"
        f"public_key={key(1).hex()}\npreshared_key={key(2).hex()}\nreplace_allowed_ips=true\n"
        "allowed_ip=10.200.0.16/32\nallowed_ip=fd00:200::10/128\n"
        f"public_key={key(3).hex()}\nupdate_only=true\nremove=true\n\n"
    )


def test_a_part_of_a_peer_leaves_the_rest() -> None:
    only_psk = PutPeer(PeerConfig(key(1), None, IPS), allowed_ips=False)
    (text,) = uapi.set_requests([only_psk])
    assert text == f"set=1\npublic_key={key(1).hex()}\npreshared_key={'0' * 64}\n\n"


def test_requests_hold_a_batch_of_peers_and_settings_begin_one() -> None:
    peers = [PutPeer(PeerConfig(key(number))) for number in range(BATCH + 1)]
    requests = list(uapi.set_requests([*peers, SetDevice(fwmark=1)]))
    assert [text.count("public_key=") for text in requests] == [BATCH, 1, 0]


def test_no_operation_is_no_request() -> None:
    assert list(uapi.set_requests([])) == []


def test_a_reset_removes_and_adds_in_one_request() -> None:
    assert uapi.reset_request(PeerConfig(key(1), key(2), IPS)) == (
        f"set=1\npublic_key={key(1).hex()}\nupdate_only=true\nremove=true\n"
        f"public_key={key(1).hex()}\npreshared_key={key(2).hex()}\nreplace_allowed_ips=true\n"
        "allowed_ip=10.200.0.16/32\nallowed_ip=fd00:200::10/128\n"
        "persistent_keepalive_interval=0\n\n"
    )


def test_an_initiation_switches_the_keepalive_on_and_off() -> None:
    there = Endpoint(IPv6Address("2001:db8::1"), 4000)
    (text,) = uapi.set_requests([Initiate(PeerConfig(key(1), key(2), IPS), there)])
    assert text == (
        f"set=1\npublic_key={key(1).hex()}\nupdate_only=true\nendpoint=[2001:db8::1]:4000\n"
        "persistent_keepalive_interval=1\n"
        f"public_key={key(1).hex()}\nupdate_only=true\npersistent_keepalive_interval=0\n\n"
    )


def test_an_initiation_anew_is_one_request() -> None:
    there = Endpoint(IPv4Address("203.0.113.1"), 4000)
    (text,) = uapi.set_requests([Initiate(PeerConfig(key(1), key(2)), there, anew=True)])
    assert text.splitlines()[1:6] == [
        f"public_key={key(1).hex()}",
        "update_only=true",
        "remove=true",
        f"public_key={key(1).hex()}",
        f"preshared_key={key(2).hex()}",
    ]
    assert text.endswith(
        f"public_key={key(1).hex()}\nupdate_only=true\nendpoint=203.0.113.1:4000\n"
        "persistent_keepalive_interval=1\n"
        f"public_key={key(1).hex()}\nupdate_only=true\npersistent_keepalive_interval=0\n\n"
    )


def test_quiet_touches_nothing_but_the_keepalive() -> None:
    (text,) = uapi.set_requests([Quiet(key(1))])
    lines = f"public_key={key(1).hex()}\nupdate_only=true\npersistent_keepalive_interval=0"
    assert text == f"set=1\n{lines}\n\n"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("", "cut off"),
        ("listen_port=51820\n", "cut off"),
        ("errno=-98\n\n", "another program has the UDP port"),
        ("errno=22\n\n", "Invalid argument (errno 22)"),
        ("errno=-55\n\n", "wireguard-go's log"),
        ("errno=none\n\n", "errno='none'"),
        ("listen_port=high\nerrno=0\n\n", "listen_port='high'"),
        ("listen_port\nerrno=0\n\n", "not key=value"),
        ("private_key=beef\nerrno=0\n\n", "private_key=…: malformed"),
        ("public_key=zz\nerrno=0\n\n", "public_key=…: malformed"),
        (
            f"public_key={key(1).hex()}\nallowed_ip=10.0.0.1/8\nerrno=0\n\n",
            "allowed_ip='10.0.0.1/8'",
        ),
    ],
)
def test_bad_answers_say_which_field_and_whose_fault(answer: str, words: str) -> None:
    with pytest.raises(uapi.UapiError) as caught:
        uapi.device_state(answer)
    assert words in str(caught.value)


def test_a_bad_endpoint_is_named() -> None:
    answer = f"public_key={key(1).hex()}\nendpoint=nowhere\nerrno=0\n\n"
    with pytest.raises(uapi.UapiError, match="endpoint='nowhere'"):
        uapi.samples(answer)


def test_keys_do_not_reach_the_message() -> None:
    with pytest.raises(uapi.UapiError) as caught:
        uapi.device_state(f"private_key={SERVICE_KEY.hex()}00\nerrno=0\n\n")
    assert SERVICE_KEY.hex() not in str(caught.value)


# properties ----------------------------------------------------------------

keys = st.binary(min_size=32, max_size=32).map(Key)
networks: st.SearchStrategy[Network] = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda raw: ip_network((raw, 32))),
    st.integers(0, 2**128 - 1).map(lambda raw: ip_network((raw, 128))),
)
peers = st.builds(
    lambda public, psk, ips: PeerConfig(public, psk, in_order(ips)),
    keys,
    st.one_of(st.none(), keys.filter(any)),
    st.sets(networks, max_size=4),
)


@given(
    st.lists(peers, unique_by=lambda peer: peer.public_key, max_size=5), keys, st.integers(0, 65535)
)
def test_what_is_written_is_read(them: list[PeerConfig], private: Key, port: int) -> None:
    """A set request, read back as an answer to get, says the same."""
    operations: list[DeviceOperation] = [SetDevice(private, port, port), *map(PutPeer, them)]
    requests = list(uapi.set_requests(operations))
    lines = [line for text in requests for line in text.splitlines() if line not in ("", "set=1")]
    state = uapi.device_state("\n".join([*lines, "errno=0", "", ""]))
    assert state == DeviceState(
        port, port, clamp(private), {peer.public_key: peer for peer in them}
    )


@given(st.text())
def test_any_other_answer_is_an_error_of_ours(text: str) -> None:
    with pytest.raises(uapi.UapiError, match="wireguard-go"):
        uapi.device_state(text)
