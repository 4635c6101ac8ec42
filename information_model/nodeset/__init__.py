"""The types as an OPC UA NodeSet2 file: generator and the checked-in artefact `gridbms.types.xml`."""

NAMESPACE = "urn:gridbms:types"
VERSION = "1.0.0"
PUBLICATION_DATE = "2026-11-24T00:00:00Z"
FILE_NAME = "gridbms.types.xml"


def site_namespace(site_id: str) -> str:
    """Namespace of the instances of a site."""
    return f"urn:gridbms:site:{site_id}"
