CREATE TABLE groups(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE series(id INTEGER PRIMARY KEY, point TEXT NOT NULL UNIQUE, built_in INTEGER NOT NULL) STRICT;
-- One row: a group over a span of time. first and last are the earliest and latest source time in it (UTC ns).
CREATE TABLE chunk(
    group_id INTEGER NOT NULL, epoch INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    samples INTEGER NOT NULL, check_sum INTEGER NOT NULL, data BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX chunk_key ON chunk(group_id, epoch, first);
CREATE INDEX chunk_age ON chunk(last);
