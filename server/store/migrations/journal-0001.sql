-- The event log as it was written; number is that of the log, so that copying twice changes nothing.
CREATE TABLE journal(
    number INTEGER PRIMARY KEY, kind INTEGER NOT NULL, version INTEGER NOT NULL, utc_ns INTEGER NOT NULL,
    mono_ns INTEGER NOT NULL, epoch INTEGER NOT NULL, element TEXT NOT NULL, payload TEXT NOT NULL, check_sum INTEGER NOT NULL
) STRICT;
CREATE INDEX journal_time ON journal(utc_ns);
CREATE INDEX journal_element ON journal(element, utc_ns);
CREATE VIEW audit AS SELECT number, utc_ns, payload FROM journal WHERE kind = 9;
