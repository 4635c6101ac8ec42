"""What we rely on inside asyncua, pinned by the hash of its source.

No module global of asyncua is replaced: its listener, processor, sessions, users and certificate checks are simply not
used. This is the only file that may ever replace one. What is used below the documented surface stands in `PINNED`;
when asyncua changes, a test names the piece, and somebody reads the difference before the hash is renewed.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect

VERSION = "2.1.0"

PINNED: dict[str, str] = {
    "asyncua.common.connection:MessageChunk.max_body_size": "8e7531ae1c35c58928bcf41a697e81c8",
    "asyncua.crypto.security_policies:Cryptography": "b6f046d428bdc4bb4562426d405dbcc3",
    "asyncua.crypto.security_policies:CryptographyNone": "49c7efad503408bd26fedb9000f80e4e",
    "asyncua.crypto.security_policies:SecurityPolicyNone": "a34e671b63f6c7f77e652c9ef4feb7f1",
    "asyncua.crypto.security_policies:SecurityPolicyBasic256Sha256": "9033de75a319912d69747fe2ef18e5e3",
    "asyncua.crypto.security_policies:SecurityPolicyAes128Sha256RsaOaep": "016f2be324077359c7f9bf0c9ece1ebc",
    "asyncua.crypto.security_policies:SecurityPolicyAes256Sha256RsaPss": "1eb47faf203b9b216519ed3a696b2e20",
    "asyncua.crypto.security_policies:VerifierHMac256": "91437884fe616ce439cd4f718d45c222",
    "asyncua.crypto.security_policies:EncryptorAesCbc": "a4ee10c0a8420b6a0e53c807eb1f2072",
    "asyncua.crypto.security_policies:DecryptorAesCbc": "066e596cc737684ce6ef76f514400792",
    "asyncua.crypto.security_policies:EncryptorRsa": "87d67f881f48a0185f6feddc2357a30e",
    "asyncua.crypto.security_policies:DecryptorRsa": "c27b737ccd76081584f3b5050dc7130b",
    "asyncua.crypto.uacrypto:decrypt_rsa_oaep": "f173f23422aab5a7e0ba22d80528d6fe",
    "asyncua.crypto.uacrypto:decrypt_rsa_oaep_sha256": "f1e59b0b471796aae1bc2df28674a9a9",
    "asyncua.crypto.uacrypto:verify_sha256": "f3dbae8e70d1ab5545a220b08ea9e5c3",
    "asyncua.crypto.uacrypto:verify_pss_sha256": "fb2f14b7a4b032c8369be19631701928",
    "asyncua.ua.ua_binary:_create_dataclass_deserializer": "df2090ec842f79de7431c4eb0eb10619",
    "asyncua.ua.ua_binary:_create_type_deserializer": "8fc1cd567154b33e09fd96e1cf181408",
    "asyncua.ua.ua_binary:_create_uatype_array_deserializer": "6f780984bfe171bbc0c0c58a27997a26",
    "asyncua.ua.ua_binary:_create_list_deserializer": "ea68c12936f3ddf537bbdfda45baecbe",
    "asyncua.ua.ua_binary:create_enum_deserializer": "7649f5e29d13fe4dee1e94df9307ae61",
    "asyncua.ua.ua_binary:extensionobject_from_binary": "1fd0586b9b4775395f965ad507e5e71d",
    "asyncua.ua.ua_binary:variant_from_binary": "6f5e95888458c5e3a15d86fbb4e93b30",
    "asyncua.ua.ua_binary:nodeid_from_binary": "827f4d41a9429a646ec546548d1bd86b",
    "asyncua.ua.uatypes:DataValue": "bf227d3a7e2eb5efd14b881ebe1bff06",
    "asyncua.ua.uatypes:LocalizedText": "36018998935acade37b3c49097c38928",
    "asyncua.ua.uatypes:DiagnosticInfo": "7aa5a9b771098ead671a1d18d86da910",
    "asyncua.server.internal_server:InternalServer": "96343b7a31bf56251d6100d9006ce532",
    "asyncua.server.server:Server.__init__": "9b02f17cb57f46c03326784982ffae81",
    "asyncua.server.server:Server.init": "62a8c90e822ca7a8582b3116ddf715c4",
    "asyncua.server.server:Server.start": "0e7d0b97d12c9075cbbca20bf115f77b",
    "asyncua.server.server:Server.stop": "9a80c8b0dcca3791cc0ffafdd29cb60a",
    "asyncua.server.address_space:AddressSpace": "6871bf95d7f2428a5450283ad54ce131",
    "asyncua.server.address_space:AttributeService": "3d4a373a13e63cd0cbab30fa6e0d453a",
    "asyncua.server.address_space:ViewService": "65954d3dd43a55c24169fc8f15ad9edd",
}
"""What is pinned, as `module:object` -> first half of the SHA-256 of its source. The codec stands here because
`server.opcua.decoding` reads bytes as it does."""


def source_hash(name: str) -> str:
    """First half of the SHA-256 of the source of `module:object`, in hex."""
    module, path = name.split(":")
    found = functools.reduce(getattr, path.split("."), importlib.import_module(module))
    return hashlib.sha256(inspect.getsource(found).encode()).hexdigest()[:32]


def changed() -> list[str]:
    """Names in `PINNED` whose source is no longer the one that was read."""
    return [name for name, digest in PINNED.items() if source_hash(name) != digest]
