CREATE TABLE groups(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE series(id INTEGER PRIMARY KEY, point TEXT NOT NULL UNIQUE, built_in INTEGER NOT NULL) STRICT;
-- One row: a group over a span of time. first and last are the earliest and latest source time in it (UTC ns). Two rows
-- may overlap (a late sample, a clock that was set back); readers put their samples in order of time.
CREATE TABLE chunk(
    group_id INTEGER NOT NULL, epoch INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    samples INTEGER NOT NULL, check_sum INTEGER NOT NULL, data BLOB NOT NULL
) STRICT;
CREATE INDEX chunk_first ON chunk(group_id, first, epoch, last);
CREATE INDEX chunk_last ON chunk(group_id, last, epoch, first);
CREATE INDEX chunk_age ON chunk(last);
-- The latest sample of each scalar that is kept on change: a restart goes on where it was. value NULL is no number.
CREATE TABLE newest(series_id INTEGER PRIMARY KEY, time INTEGER NOT NULL, value REAL, status INTEGER NOT NULL) STRICT;
