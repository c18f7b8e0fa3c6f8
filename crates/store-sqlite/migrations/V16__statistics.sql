-- Statistics per minute. An earlier program may serve this database: it rolls up nothing.

CREATE TABLE statistics (
    -- Minutes since 1970.
    minute INTEGER NOT NULL,
    statistic TEXT NOT NULL,
    -- What the values are about, such as a queue; empty for everything.
    subject TEXT NOT NULL,
    -- The process that measured the values; empty for what is derived from this database.
    source TEXT NOT NULL,
    samples INTEGER NOT NULL,
    total INTEGER NOT NULL,
    highest INTEGER NOT NULL,
    -- Buckets and their counts, such as '12:3 40:1'; empty for values that are no durations.
    histogram TEXT NOT NULL,
    PRIMARY KEY (minute, statistic, subject, source)
) STRICT, WITHOUT ROWID;

-- Position in the feed after the last event that is counted.
CREATE TABLE statistics_progress (
    is_the_only_row INTEGER NOT NULL PRIMARY KEY CHECK (is_the_only_row = 1),
    transaction_number INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    -- Time up to which all events are counted.
    complete_until_ns INTEGER NOT NULL
) STRICT;

INSERT INTO schema_versions (version, compatible_from) VALUES (16, 7);
