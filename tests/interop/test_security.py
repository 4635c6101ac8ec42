"""Who gets in, as an OPC UA client that is not ours meets it (F-11, F-12, F-15)."""

import pytest

from tests.interop.conftest import connect, trust_all
from tests.interop.node_client import ClientError, NodeClient
from tests.program import PASSWORD

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]


def test_f11_offered_policies_are_those_of_the_configuration(client, program) -> None:
    found = client("endpoints", endpoint=program.endpoint)
    assert {(e["mode"], e["policy"].partition("#")[2]) for e in found} == {
        (mode, policy)
        for mode in ("Sign", "SignAndEncrypt")
        for policy in ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")
    }
    assert all(e["url"].startswith("opc.tcp://127.0.0.1:") for e in found)
    assert all(e["tokens"] == ["UserName"] for e in found)


def test_f12_an_unknown_certificate_is_refused_then_trusted_without_restart(program, tmp_path) -> None:
    node = NodeClient(tmp_path)
    try:
        with pytest.raises(ClientError):
            node.connect(program.endpoint, "observer", PASSWORD)
        (thumbprint,) = trust_all(program.data)
        assert f"gridbms certs trust {thumbprint}" in program.log.read_text()
        pid = program.pid("opcua")
        connect(node, program, "observer", policy="Aes256_Sha256_RsaPss")
        assert program.pid("opcua") == pid
    finally:
        node.close()


def test_f15_a_wrong_password_is_refused(client_folder, program, client) -> None:
    client("disconnect")
    for user, password in (("observer", "wrong"), ("admin", "admin"), ("nobody", PASSWORD)):
        with pytest.raises(ClientError, match=r"BadUserAccessDenied|BadIdentityTokenRejected"):
            client.connect(program.endpoint, user, password)
    assert PASSWORD not in program.log.read_text()
