"""The server's own certificate, the trust folder and the modes of secret files."""

from __future__ import annotations

import logging
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from server.pki import own_certificate
from server.pki.files import UnsafeFileError, check_data_directory, read_private, write_private
from server.pki.own_certificate import OwnCertificateError, load_or_make
from server.pki.trust_store import CertificateNotFoundError, TrustFolder, thumbprint
from tests.unit.opcua.security_kit import APPLICATION_URI, Made, key, make

HOSTS = ("bess.example", "192.0.2.7", "::1")


def own(tmp_path: Path) -> own_certificate.OwnCertificate:
    return load_or_make(tmp_path / "pki", APPLICATION_URI, HOSTS)


def test_the_first_start_makes_a_certificate_with_uri_names_usages_and_two_years(tmp_path: Path) -> None:
    certificate = own(tmp_path).certificate
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [APPLICATION_URI]
    assert names.get_values_for_type(x509.DNSName) == ["bess.example"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7", "::1"]
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert usage.content_commitment
    assert usage.key_encipherment
    assert usage.data_encipherment
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(extended) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert certificate.not_valid_after_utc - datetime.now(UTC) > timedelta(days=729)
    assert certificate.public_key().key_size == 2048  # type: ignore[union-attr]  # an RSA key by construction


def test_the_key_is_private_from_its_first_byte_and_the_second_start_takes_it(tmp_path: Path) -> None:
    first = own(tmp_path)
    path = tmp_path / "pki/own/private/gridbms.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert own(tmp_path).der == first.der


def test_a_key_that_others_can_read_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    own(tmp_path)
    path = tmp_path / "pki/own/private/gridbms.pem"
    path.chmod(0o640)
    with pytest.raises(UnsafeFileError, match=rf"mode 0640, expected 0600; refused. Remedy: chmod 600 {path}"):
        own(tmp_path)


def test_a_key_behind_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    own(tmp_path)
    path = tmp_path / "pki/own/private/gridbms.pem"
    path.rename(tmp_path / "elsewhere.pem")
    path.symlink_to(tmp_path / "elsewhere.pem")
    with pytest.raises(UnsafeFileError, match="symbolic link"):
        own(tmp_path)


def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    own(tmp_path)
    (tmp_path / "pki").chmod(0o755)
    with pytest.raises(UnsafeFileError, match=f"chmod 700 {tmp_path / 'pki'}"):
        own(tmp_path)


def test_a_data_directory_that_others_can_write_is_refused_and_one_they_can_read_is_not(tmp_path: Path) -> None:
    data = tmp_path / "data"
    check_data_directory(data)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    data.chmod(0o755)
    check_data_directory(data)
    data.chmod(0o775)
    with pytest.raises(UnsafeFileError, match=f"chmod go-w {data}"):
        check_data_directory(data)


@pytest.mark.parametrize("damage", ["key", "certificate", "uri"])
def test_a_pair_that_does_not_fit_is_refused_with_a_remedy(tmp_path: Path, damage: str) -> None:
    own(tmp_path)
    if damage == "key":
        write_private(tmp_path / "pki/own/private/gridbms.pem", make("client").key_pem)
    elif damage == "certificate":
        write_private(tmp_path / "pki/own/certs/gridbms.der", b"nothing")
    with pytest.raises(OwnCertificateError, match="Remedy: remove both"):
        load_or_make(tmp_path / "pki", "urn:other" if damage == "uri" else APPLICATION_URI)


def test_a_private_file_is_replaced_atomically_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    for content in (b"one", b"two"):
        write_private(path, content)
        assert read_private(path) == content
    assert os.listdir(tmp_path) == ["secret"]


def test_an_unknown_certificate_is_remembered_trusted_and_rejected_by_its_thumbprint(tmp_path: Path) -> None:
    folder = TrustFolder(tmp_path / "pki")
    der = make("untrusted").der
    assert folder.remember_rejected(der)
    assert not folder.remember_rejected(der)
    mark = thumbprint(der)
    assert [(row.thumbprint, row.state) for row in folder.list()] == [(mark, "rejected")]
    assert folder.trust(mark[:8].lower()).state == "trusted"
    assert folder.reload()
    assert mark in folder.store.trusted
    assert folder.trust(mark).state == "trusted"
    assert folder.reject(mark).state == "rejected"
    assert folder.reload()
    assert not folder.store.trusted


@pytest.mark.parametrize("prefix", ["", "ABC", "F" * 40, "../../x"])
def test_a_thumbprint_that_names_nothing_is_refused(tmp_path: Path, prefix: str) -> None:
    folder = TrustFolder(tmp_path / "pki")
    folder.remember_rejected(make("untrusted").der)
    with pytest.raises(CertificateNotFoundError, match="gridbms certs list"):
        folder.trust(prefix)


def _numbered(number: int) -> Made:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"../{number}/;rm \u202e")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key().public_key())
        .serial_number(number + 1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
        .sign(key(), own_certificate.hashes.SHA256())
    )  # fmt: skip
    return Made(certificate, key(), {})


def test_at_most_64_rejected_certificates_stay_under_harmless_names(tmp_path: Path) -> None:
    folder = TrustFolder(tmp_path / "pki")
    made = [_numbered(number) for number in range(66)]
    for number, item in enumerate(made):
        folder.remember_rejected(item.der)
        for path in (tmp_path / "pki/rejected/certs").iterdir():
            if thumbprint(item.der) in path.name:
                os.utime(path, ns=(number, number))
    rows = folder.list()
    assert len(rows) == 64
    assert {row.thumbprint for row in rows} == {thumbprint(item.der) for item in made[2:]}
    assert all(set(row.path.name) <= set("0123456789ABCDEF[]._ rmdenlk-;") for row in rows)
    assert len(list((tmp_path / "pki/rejected/certs").iterdir())) == 64


def test_files_that_are_no_certificates_are_named_once_and_trust_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "gridbms.pki")
    folder = TrustFolder(tmp_path / "pki")
    (folder.root / "trusted/certs/notes.txt").write_text("hello")
    (folder.root / "trusted/certs/link.der").symlink_to("/etc/passwd")
    (folder.root / "trusted/crl/x.crl").write_text("hello")
    assert folder.reload()
    assert not folder.store.trusted
    assert len(caplog.records) == 3
    (folder.root / "trusted/certs/a.der").write_bytes(make("client").der)
    assert folder.reload()
    assert len(folder.store.trusted) == 1
    assert len(caplog.records) == 3
    assert not folder.reload()
