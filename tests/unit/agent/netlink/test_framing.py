"""Attributes, messages and errors of netlink."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.netlink.attributes import MalformedAttribute, attribute, nested, walk
from anycastle.agent.netlink.socket import (
    NLM_F_ACK_TLVS,
    NLM_F_CAPPED,
    NLM_F_MULTI,
    NetlinkError,
    messages,
    raise_error,
)

REQUEST = struct.pack("=IHHII", 24, 18, 5, 1, 0)
WORDS = attribute(1, b"Device for nexthop is not up\0")


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40)), max_size=6))
def test_attributes_are_walked_as_they_were_written(them: list[tuple[int, bytes]]) -> None:
    data = b"".join(attribute(kind, payload) for kind, payload in them)
    assert len(data) % 4 == 0
    assert [(kind, data[first:last]) for kind, first, last in walk(data)] == them


def test_a_nested_attribute_says_so() -> None:
    assert nested(8, attribute(1, b"x")) == b"\x0c\x00\x08\x80" + b"\x05\x00\x01\x00x\0\0\0"


def test_an_attribute_has_a_longest() -> None:
    with pytest.raises(ValueError, match="at most 65535"):
        attribute(8, bytes(65532))


@pytest.mark.parametrize("data", [b"\x02\x00\x01\x00", b"\x09\x00\x01\x00abcd"])
def test_an_attribute_beyond_its_frame_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedAttribute, match="attribute 1 at byte 0"):
        list(walk(data))


def test_messages_of_one_datagram() -> None:
    data = struct.pack("=IHHII", 19, 7, 2, 5, 0) + b"abc\0" + struct.pack("=IHHII", 16, 3, 0, 5, 0)
    found = [(kind, flags, seq, data[start:end]) for kind, flags, seq, start, end in messages(data)]
    assert found == [(7, 2, 5, b"abc"), (3, 0, 5, b"")]


def test_a_cut_off_message_is_an_error() -> None:
    with pytest.raises(NetlinkError) as caught:
        list(messages(struct.pack("=IHHII", 40, 7, 2, 5, 0)))
    assert caught.value.errno == errno.EBADMSG


def test_zero_is_an_acknowledgement() -> None:
    raise_error(struct.pack("=i", 0) + REQUEST, 0)
    raise_error(b"", 0)


@pytest.mark.parametrize(
    ("body", "flags"),
    [
        (struct.pack("=i", -errno.ENETDOWN) + REQUEST + WORDS, NLM_F_ACK_TLVS | NLM_F_CAPPED),
        (struct.pack("=i", -errno.ENETDOWN) + REQUEST + bytes(8) + WORDS, NLM_F_ACK_TLVS),
        (struct.pack("=i", -errno.ENETDOWN) + WORDS, NLM_F_ACK_TLVS | NLM_F_MULTI),
    ],
    ids=["capped", "with the whole request", "at the end of a dump"],
)
def test_the_kernels_own_words_are_in_the_error(body: bytes, flags: int) -> None:
    with pytest.raises(NetlinkError) as caught:
        raise_error(body, flags)
    assert caught.value.errno == errno.ENETDOWN
    assert str(caught.value).endswith("Network is down: Device for nexthop is not up")


def test_an_error_without_words() -> None:
    with pytest.raises(NetlinkError, match=r"No such device$"):
        raise_error(struct.pack("=i", -errno.ENODEV) + REQUEST, NLM_F_CAPPED)
