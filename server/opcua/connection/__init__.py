"""From the socket to whole requests and back: listening, chunks, secure channels and the queue of each connection."""
