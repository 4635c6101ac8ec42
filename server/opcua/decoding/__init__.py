"""Pre-scan of a request: walks the bytes as the decoder will, counts, and refuses before any object exists.

A 4 MB array of empty Variants costs the decoder seconds and hundreds of megabytes; nested Variants end in a recursion
error; invalid UTF-8 becomes text that no log can store. The scan is compiled from the same dataclasses from which the
decoder is made, so both read every byte alike (OPC 10000-6, 5.1 and 5.2).
"""

from server.opcua.decoding.builtin_types import scan_node_id, scan_variant
from server.opcua.decoding.scan import Scan
from server.opcua.decoding.structures import scan_structure, structure

__all__ = ["Scan", "scan_node_id", "scan_structure", "scan_variant", "structure"]
