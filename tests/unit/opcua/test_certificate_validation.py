"""Each certificate fails at the step of its one fault, with the exact code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asyncua import ua

from server.opcua.errors import code_name
from server.opcua.security.certificate_validation import (
    CertificateRefusedError,
    check_application_uri,
    load_leaf,
    split_chain,
    validate,
)
from server.pki.trust_store import TrustFolder, TrustStore, thumbprint
from tests.unit.opcua.security_kit import BAD, CLIENT_URI, make


def trusting(tmp_path: Path, *names: str) -> TrustFolder:
    folder = TrustFolder(tmp_path / "pki")
    for name in names:
        make(name).trust(folder.root)
    folder.reload()
    return folder


@pytest.mark.parametrize("name", BAD)
def test_a_bad_certificate_is_refused_with_its_exact_code(tmp_path: Path, name: str) -> None:
    folder = trusting(tmp_path, name)
    with pytest.raises(CertificateRefusedError) as caught:
        check_application_uri(validate(make(name).der, folder.store, datetime.now(UTC)), CLIENT_URI)
    assert code_name(caught.value.code) == BAD[name]["refused"]
    if BAD[name]["refused"] != "BadCertificateUriInvalid":
        assert code_name(caught.value.wire_code) == BAD[name]["wire"]


@pytest.mark.parametrize("name", ["client", "issued"])
def test_a_good_certificate_passes_directly_trusted_or_issued_by_a_trusted_authority(tmp_path: Path, name: str) -> None:
    folder = trusting(tmp_path, name)
    peer = validate(make(name).der, folder.store, datetime.now(UTC))
    assert peer.application_uris == (CLIENT_URI,)
    assert len(peer.chain) == (2 if name == "issued" else 1)


def test_an_authority_that_only_completes_chains_trusts_nobody(tmp_path: Path) -> None:
    issued = make("issued")
    folder = trusting(tmp_path)
    assert issued.issuer is not None
    (folder.root / "issuers/certs/ca.der").write_bytes(issued.issuer.der)
    (folder.root / "issuers/crl/ca.crl").write_bytes(issued.crl or b"")
    folder.reload()
    with pytest.raises(CertificateRefusedError, match="BadCertificateUntrusted"):
        validate(issued.der, folder.store, datetime.now(UTC))
    (folder.root / "trusted/certs/leaf.der").write_bytes(issued.der)
    folder.reload()
    assert validate(issued.der, folder.store, datetime.now(UTC)).der == issued.der


def test_an_issuer_that_the_client_supplies_completes_the_chain_but_does_not_make_trust(tmp_path: Path) -> None:
    issued = make("issued")
    assert issued.issuer is not None
    with pytest.raises(CertificateRefusedError, match="BadCertificateUntrusted"):
        validate(issued.der + issued.issuer.der, trusting(tmp_path).store, datetime.now(UTC))


def test_trust_is_asked_before_time_so_that_strangers_learn_nothing(tmp_path: Path) -> None:
    with pytest.raises(CertificateRefusedError) as caught:
        validate(make("expired").der, trusting(tmp_path).store, datetime.now(UTC))
    assert code_name(caught.value.wire_code) == "BadSecurityChecksFailed"


def test_a_certificate_outlives_neither_its_own_time_nor_that_of_its_issuer(tmp_path: Path) -> None:
    folder = trusting(tmp_path, "issued")
    with pytest.raises(CertificateRefusedError, match="BadCertificateTimeInvalid"):
        validate(make("issued").der, folder.store, datetime.now(UTC) + timedelta(days=400))


@pytest.mark.parametrize(
    "data",
    [b"", b"\x30", b"\x31\x00", b"\x30\x84\xff\xff\xff\xff", b"\x30\x82\x10\x00abc", b"\x30\x00" * 6, b"\x30\x03abc"],
)
def test_bytes_that_are_no_chain_are_invalid(data: bytes) -> None:
    with pytest.raises(CertificateRefusedError) as caught:
        load_leaf(data)
    assert caught.value.code == ua.StatusCodes.BadCertificateInvalid


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("flip", [1, 2, 4, 128, 255])
def test_no_damaged_byte_makes_a_certificate_pass_or_raises_anything_but_a_refusal(flip: int) -> None:
    client = make("client")
    store, now = TrustStore({thumbprint(client.der): client.certificate}), datetime.now(UTC)
    for position in range(len(client.der)):
        damaged = bytearray(client.der)
        damaged[position] ^= flip
        with pytest.raises(CertificateRefusedError):
            validate(bytes(damaged), store, now)


def test_a_chain_is_cut_into_its_certificates() -> None:
    issued = make("issued")
    assert issued.issuer is not None
    assert split_chain(issued.der + issued.issuer.der) == [issued.der, issued.issuer.der]
