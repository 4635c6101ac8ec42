"""Security policies that this server knows, and the primitives behind each."""

from typing import Any

from asyncua.crypto import security_policies

NONE_URI = security_policies.SecurityPolicyNone.URI
POLICIES: dict[str, Any] = {
    policy.URI: policy
    for policy in (
        security_policies.SecurityPolicyNone,
        security_policies.SecurityPolicyAes256Sha256RsaPss,
        security_policies.SecurityPolicyBasic256Sha256,
        security_policies.SecurityPolicyAes128Sha256RsaOaep,
    )
}
