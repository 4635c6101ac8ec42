"""Every limit of the OPC UA server in one place.

The same numbers are enforced and announced (Server.ServerCapabilities, OPC 10000-5, 6.3.2), so a client can trust them.
0 would mean "no limit" there: no limit that exists is ever 0.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of connections, messages, sessions and operations. Times in seconds, sizes in bytes."""

    # Connections
    connections: int = 200
    connections_per_address: int = 20
    unactivated_per_address: int = 10
    hello_timeout_s: float = 5.0
    channel_timeout_s: float = 5.0
    session_timeout_s: float = 30.0
    activation_timeout_s: float = 30.0
    partial_chunk_timeout_s: float = 10.0
    open_requests_per_second: float = 5.0
    open_requests_burst: int = 20
    open_requests_waiting: int = 20
    log_lines_per_minute: int = 10

    # Messages
    chunk_bytes: int = 65_535
    minimum_chunk_bytes: int = 8_192
    unactivated_message_bytes: int = 65_536
    unactivated_chunks: int = 1
    message_bytes: int = 4 << 20
    chunks: int = 64
    endpoint_url_bytes: int = 4_096
    certificate_bytes: int = 16 * 1024
    queued_requests: int = 20

    # Secure channels
    minimum_channel_lifetime_s: float = 10.0
    maximum_channel_lifetime_s: float = 3_600.0
    nonce_bytes: int = 32
    maximum_nonce_bytes: int = 256

    # A client that reads too slowly
    write_high_water_bytes: int = 4 << 20
    write_maximum_bytes: int = 16 << 20
    write_stuck_timeout_s: float = 10.0

    # Decoding
    string_bytes: int = 65_535
    byte_string_bytes: int = 4 << 20
    array_length: int = 100_000
    elements_per_message: int = 100_000
    nesting: int = 100
    diagnostic_nesting: int = 10
    decode_price: int = 12 << 20
    element_price: int = 50
    decode_inline_price: int = 128 << 10
    """Above this price a message is decoded in a worker thread: nothing may hold the loop."""

    # Sessions
    sessions: int = 100
    sessions_per_address: int = 50
    sessions_per_certificate: int = 50
    sessions_reserved_for_loopback: int = 2
    minimum_session_timeout_s: float = 10.0
    maximum_session_timeout_s: float = 600.0
    activation_failures: int = 3
    name_characters: int = 256
    locale_ids: int = 10

    # Passwords
    password_bytes: int = 1_024
    free_failures: int = 3
    maximum_delay_s: float = 30.0
    failure_memory_s: float = 600.0
    delayed_answers: int = 100

    # Operations per call (Server.ServerCapabilities.OperationLimits)
    nodes_per_read: int = 10_000
    nodes_per_write: int = 1_000
    nodes_per_method_call: int = 100
    nodes_per_browse: int = 1_000
    nodes_per_register: int = 1_000
    nodes_per_translate: int = 1_000
    items_per_call: int = 10_000
    nodes_per_history_read: int = 100
    nodes_per_history_read_events: int = 10
    nodes_per_history_update: int = 100
    subscriptions_per_call: int = 100
    acknowledgements_per_publish: int = 10_000

    # Subscriptions, history, events. Event filters are refused altogether, their limits only announced.
    subscriptions: int = 500
    subscriptions_per_session: int = 50
    orphaned_subscriptions_per_user: int = 10
    monitored_items: int = 500_000
    monitored_items_per_session: int = 250_000
    monitored_items_per_subscription: int = 250_000
    """Not below what a session may have: one subscription may hold them all."""
    monitored_item_queue: int = 100
    queue_bytes: int = 256 << 20
    queue_bytes_per_subscription: int = 64 << 20
    triggering_links_per_subscription: int = 10_000
    browse_continuation_points: int = 10
    history_continuation_points: int = 100
    select_clauses: int = 100
    where_clauses: int = 50
    minimum_sample_rate_ms: float = 100.0

    def __post_init__(self) -> None:
        wrong = [
            f"{item.name} = {getattr(self, item.name)!r}" for item in fields(self) if getattr(self, item.name) <= 0
        ]
        if wrong:
            raise ValueError(f"OPC UA limits must be above 0 (0 would announce 'no limit'): {', '.join(wrong)}")
        if self.chunk_bytes < self.minimum_chunk_bytes:
            raise ValueError(
                f"chunk_bytes = {self.chunk_bytes}: expected at least {self.minimum_chunk_bytes} (OPC 10000-6, 7.1.2.3)"
            )


ANNOUNCED: tuple[tuple[int, str, str], ...] = (
    (2272, "minimum_sample_rate_ms", "Double"),
    (2735, "browse_continuation_points", "UInt16"),
    (2737, "history_continuation_points", "UInt16"),
    (11702, "array_length", "UInt32"),
    (11703, "string_bytes", "UInt32"),
    (12911, "byte_string_bytes", "UInt32"),
    (24095, "sessions", "UInt32"),
    (24096, "subscriptions", "UInt32"),
    (24097, "monitored_items", "UInt32"),
    (24098, "subscriptions_per_session", "UInt32"),
    (24104, "monitored_items_per_subscription", "UInt32"),
    (24099, "select_clauses", "UInt32"),
    (24100, "where_clauses", "UInt32"),
    (31916, "monitored_item_queue", "UInt32"),
    (11705, "nodes_per_read", "UInt32"),
    (11707, "nodes_per_write", "UInt32"),
    (11709, "nodes_per_method_call", "UInt32"),
    (11710, "nodes_per_browse", "UInt32"),
    (11711, "nodes_per_register", "UInt32"),
    (11712, "nodes_per_translate", "UInt32"),
    (11714, "items_per_call", "UInt32"),
    (12165, "nodes_per_history_read", "UInt32"),
    (12166, "nodes_per_history_read_events", "UInt32"),
    (12167, "nodes_per_history_update", "UInt32"),
)
"""NodeIds (namespace 0) of the nodes that announce a limit, and the field that stands behind each."""
