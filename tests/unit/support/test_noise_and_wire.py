"""The simulated clients' cryptography against published vectors.

Noise: of the Go library flynn/noise (vectors.txt). HKDF: of wireguard-go (kdf_test.go).
XChaCha20: of draft-irtf-cfrg-xchacha-03, sections 2.2.1 and A.3.1.
"""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from tests.support import wire
from tests.support.noise import Initiator, Keys, NotAuthentic, Responder, Static, derive
from tests.support.wire import Indices, Keypair, Macs

INITIATOR = bytes(range(32))
RESPONDER = bytes(range(1, 33))
PSK = bytes.fromhex("2176657279736563726574766572797365637265747665727973656372657421")
FIRST = X25519PrivateKey.from_private_bytes(bytes(range(0x20, 0x40)))
SECOND = X25519PrivateKey.from_private_bytes(bytes(range(0x41, 0x61)))
DATA = (
    "6013ea114b4c4884afb82bf029f72f924bd8a32c487a15a1cef4855ba234be",
    "8a2e7119635e41a35b7e64e0adac5483b66b1a9827895124ea07d58440b654",
)
# prologue, payloads, messages
VECTORS = [
    (
        b"", b"", b"",
        ("358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254d06f15f78ad0914d9715147bb5"
        "a5004b27345a838bab4aa8bc5f144afc2cf4cca972105ba526e8c92b759e028200e766f827aa12a04ecbc0bdcd"
        "9e574e007945"),
        ("64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d484668c46d966ca4fe339f9e47fd25f"
        "68de8a"),
    ),
    (
        b"notsecret", b"test_msg_0", b"test_msg_1",
        ("358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254d06f15f78ad0914d9715147bb5"
        "a5004b27345a838bab4aa8bc5f144afc2cf4ccb88f9ea1ebd99e94b76e50af7eee0e596a3d77b86f9aa87dcfe6"
        "1d972bc6f34d0e93751d1260fa6bf0fe"),
        ("64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d48466168e6913e78d7a2b04b2b154c5"
        "149032d1c2584051bdcf04db1d"),
    ),
]  # fmt: skip


def agreed(
    prologue: bytes = b"", payloads: tuple[bytes, bytes] = (b"", b"")
) -> tuple[bytes, bytes, Keys, Keys]:
    """Both messages and both sides' keys of a handshake with the vectors' keys."""
    ours, theirs = Static.of(INITIATOR), Static.of(RESPONDER)
    begun = Initiator(ours, theirs.public, PSK, prologue, FIRST)
    first = begun.message(payloads[0])
    asked = Responder(theirs, prologue, first)
    assert (asked.initiator, asked.payload) == (ours.public, payloads[0])
    second, there = asked.message(PSK, payloads[1], SECOND)
    here, payload = begun.finish(second)
    assert payload == payloads[1]
    return first, second, here, there


@pytest.mark.parametrize(("prologue", "one", "two", "first", "second"), VECTORS)
def test_handshake(prologue: bytes, one: bytes, two: bytes, first: str, second: str) -> None:
    made_first, made_second, here, there = agreed(prologue, (one, two))
    assert made_first.hex() == first
    assert made_second.hex() == second
    assert (here.send, here.receive) == (there.receive, there.send)
    nonce = bytes(12)
    sealed = (
        ChaCha20Poly1305(here.send).encrypt(nonce, b"yellowsubmarine", None),
        ChaCha20Poly1305(there.send).encrypt(nonce, b"submarineyellow", None),
    )
    assert tuple(each.hex() for each in sealed) == DATA


@pytest.mark.parametrize(
    ("key", "keys"),
    [
        (
            "746573742d6b6579",
            (
                "6f0e5ad38daba1bea8a0d213688736f19763239305e0f58aba697f9ffc41c633"
                "df1194df20802a4fe594cde27e92991c8cae66c366e8106aaa937a55fa371e8a"
                "fac6e2745a325f5dc5d11a5b165aad08b0ada28e7b4e666b7c077934a4d76c24"
            ),
        ),
        (
            "",
            (
                "8387b46bf43eccfcf349552a095d8315c4055beb90208fb1be23b894bc2ed5d0"
                "58a0e5f6faefccf4807bff1f05fa8a9217945762040bcec2f4b4a62bdfe0e86e"
                "0ce6ea98ec548f8e281e93e32db65621c45eb18dc6f0a7ad94178610a2f7338e"
            ),
        ),
    ],
)
def test_key_derivation(key: str, keys: str) -> None:
    data = "746573742d696e707574" if key else ""
    assert b"".join(derive(bytes.fromhex(key), bytes.fromhex(data), 3)).hex() == keys


def test_a_message_for_somebody_else_is_refused() -> None:
    first, second, _, _ = agreed()
    with pytest.raises(NotAuthentic):
        Responder(Static.of(INITIATOR), b"", first)
    with pytest.raises(NotAuthentic):
        Responder(Static.of(RESPONDER), b"", first[:-1] + b"\0")
    theirs = Static.of(RESPONDER).public
    begun = Initiator(Static.of(INITIATOR), theirs, bytes(32), b"", FIRST)
    begun.message(b"")
    with pytest.raises(NotAuthentic):
        begun.finish(second)  # another pre-shared key


def test_a_false_answer_does_not_spoil_the_true_one() -> None:
    _, second, here, _ = agreed()
    begun = Initiator(Static.of(INITIATOR), Static.of(RESPONDER).public, PSK, b"", FIRST)
    begun.message(b"")
    with pytest.raises(NotAuthentic):
        begun.finish(bytes(len(second)))
    assert begun.finish(second)[0] == here


def test_subkey_of_xchacha() -> None:
    nonce = bytes.fromhex("000000090000004a0000000031415927")
    subkey = "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"
    assert wire.hchacha20(bytes(range(32)), nonce).hex() == subkey


def test_xchacha_with_poly1305() -> None:
    sealed = bytes.fromhex(
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4e"
        "da7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2"
        "383565d3fff921f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49"
    )
    key, nonce = bytes(range(0x80, 0xA0)), bytes(range(0x40, 0x58))
    associated = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    plain = wire.xopen(key, nonce, sealed, associated)
    assert plain.startswith(b"Ladies and Gentlemen of the class of '99")
    with pytest.raises(NotAuthentic):
        wire.xopen(key, nonce, sealed, b"")


def test_data_is_opened_once_and_in_any_order() -> None:
    _, _, here, there = agreed()
    ours = Keypair(here, Indices(1, 2), True, 0.0)
    theirs = Keypair(there, Indices(2, 1), False, 0.0)
    sealed = [ours.seal(f"packet {number}".encode()) for number in range(5)]
    assert [wire.kind(each) for each in sealed] == [wire.DATA] * 5
    assert {wire.receiver(each) for each in sealed} == {2}
    for number in (2, 0, 4, 1, 3):
        assert theirs.open(sealed[number]).rstrip(b"\0") == f"packet {number}".encode()
    for each in sealed:
        with pytest.raises(NotAuthentic):
            theirs.open(each)
    assert theirs.open(ours.seal(b"")) == b""


def test_macs_prove_the_addressee() -> None:
    public = Static.of(RESPONDER).public
    message = Macs(public).sealed(wire.initiation(7, bytes(108)), 0.0)
    assert wire.kind(message) == wire.INITIATION
    assert Macs(public).proves(message)
    assert not Macs(Static.of(INITIATOR).public).proves(message)


@pytest.mark.parametrize("size", [0, 31, 33, 64, 92, 148, 1500])
def test_only_messages_of_their_own_size_count(size: int) -> None:
    kinds = {wire.kind(bytes((number, 0, 0, 0)) + bytes(size - 4)) for number in (1, 2, 3, 4, 5)
             if size >= 4}  # fmt: skip
    right = {148: {1}, 92: {2}, 64: {3, 4}}
    assert kinds - {0} == right.get(size, set())


def test_timestamps_grow() -> None:
    stamps = [wire.timestamp(1_700_000_000 + 0.1 * step) for step in range(30)]
    assert stamps == sorted(stamps)
    assert len(set(stamps)) == 30
    assert stamps[0].hex().startswith("4000000065")
