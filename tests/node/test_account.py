"""Accounts: derivation and signatures against eth-account, and keys that do not leave."""

from __future__ import annotations

import copy
import pickle
import stat
from pathlib import Path

import pytest
from eth_account import Account as EthAccount
from eth_keys import keys
from hypothesis import given, settings
from hypothesis import strategies as st

from interlace import _core
from interlace.chain import DEV_MNEMONIC, Account, checksum_address
from interlace.errors import ChainError

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
key_bytes = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "big"))


def test_derivation_equals_eth_account() -> None:
    EthAccount.enable_unaudited_hdwallet_features()
    ours = Account.list_from_mnemonic(4)
    other = "legal winner thank year wave sausage worth useful legal winner thank yellow"
    for index in range(4):
        path = f"m/44'/60'/0'/0/{index}"
        assert ours[index].address == EthAccount.from_mnemonic(DEV_MNEMONIC, account_path=path).address
        theirs = EthAccount.from_mnemonic(other, passphrase="é", account_path=path)
        assert Account.from_mnemonic(index, other, "é").address == theirs.address
    assert ours[0].address == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


@settings(max_examples=50)
@given(key_bytes, st.binary(min_size=32, max_size=32))
def test_signatures_equal_eth_keys(key: bytes, digest: bytes) -> None:
    account = Account(key)
    signature = account.sign_digest(digest)
    theirs = keys.PrivateKey(key).sign_msg_hash(digest).to_bytes()
    assert signature == theirs[:64] + bytes([theirs[64] + 27])
    assert _core.recover_digest(digest, signature) == account.address_bytes
    assert account.address == keys.PrivateKey(key).public_key.to_checksum_address()


@settings(max_examples=200)
@given(st.binary(max_size=40), st.binary(max_size=70))
def test_recovery_of_rubbish_is_an_error_not_a_crash(digest: bytes, signature: bytes) -> None:
    found = _core.recover_digests([digest], [signature])[0]
    if found is None:
        with pytest.raises(ChainError) as caught:
            _core.recover_digest(digest, signature)
        assert caught.value.code == "chain.bad-signature"


def test_high_s_recovers_to_nothing() -> None:
    digest = _core.keccak256(b"malleable")
    signature = Account.from_mnemonic(0).sign_digest(digest)
    s = int.from_bytes(signature[32:64], "big")
    mirrored = signature[:32] + (ORDER - s).to_bytes(32, "big") + bytes([55 - signature[64]])
    assert _core.recover_digests([digest, digest], [signature, mirrored]) == [
        Account.from_mnemonic(0).address_bytes,
        None,
    ]


def test_batch_lengths_must_agree() -> None:
    with pytest.raises(ChainError) as caught:
        _core.recover_digests([b"\0" * 32], [])
    assert caught.value.code == "chain.bad-batch"


@pytest.mark.parametrize("key", [b"", b"\0" * 32, b"\xff" * 32, b"\1" * 31, b"\1" * 33])
def test_bad_keys_are_refused_and_not_shown(key: bytes) -> None:
    with pytest.raises(ChainError) as caught:
        Account(key)
    assert caught.value.code == "chain.bad-key"
    assert not key or key.hex() not in str(caught.value)


def test_bad_hex_key_and_bad_digest() -> None:
    with pytest.raises(ChainError, match=r"chain\.bad-key"):
        Account.from_key("0xzz")
    with pytest.raises(ChainError, match=r"chain\.bad-digest"):
        Account.from_mnemonic(0).sign_digest(b"short")


def test_bad_mnemonic() -> None:
    with pytest.raises(ChainError, match=r"chain\.bad-mnemonic"):
        Account.from_mnemonic(0, DEV_MNEMONIC.replace("junk", "test"))
    with pytest.raises(ChainError, match=r"chain\.bad-mnemonic"):
        Account.from_mnemonic(-1)


def test_addresses() -> None:
    shown = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert checksum_address(shown.lower()) == checksum_address(shown[2:]) == shown
    for bad in (shown.replace("f39F", "F39F"), "0x12", "", "0x" + "g" * 40, b"\0" * 19):
        with pytest.raises(ChainError, match=r"chain\.bad-address"):
            checksum_address(bad)


def test_the_key_stays_inside() -> None:
    account = Account.from_mnemonic(0)
    secret = account.key.hex()
    assert secret not in repr(account)
    assert secret not in f"{account} {account!r} {[account]}"
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(ChainError, match=r"chain\.key-export"):
            leave(account)


def test_keystore_round_trip(tmp_path: Path) -> None:
    account = Account.create()
    path = tmp_path / "key.json"
    account.save(path, "correct horse")
    assert account.key.hex() not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Account.load(path, "correct horse") == account
    with pytest.raises(ChainError, match=r"chain\.bad-keystore"):
        Account.load(path, "wrong")
    with pytest.raises(ChainError, match=r"chain\.bad-keystore"):
        account.save(path, "again")
    path.write_text("{}")
    with pytest.raises(ChainError, match=r"chain\.bad-keystore"):
        Account.load(path, "correct horse")
