"""HistoryRead: pages of stored values and their encoding."""
