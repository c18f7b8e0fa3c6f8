-- Statistics per minute. Servers of the version before may run on this schema: they roll up nothing.

CREATE TABLE statistics (
    -- Minutes since 1970.
    minute bigint NOT NULL,
    statistic text COLLATE "C" NOT NULL,
    -- What the values are about, such as a queue; empty for everything.
    subject text COLLATE "C" NOT NULL,
    -- The process that measured the values; empty for what is derived from this database.
    source text COLLATE "C" NOT NULL,
    -- Name of the shard. A physical copy that became another shard does not return the rows of its original.
    shard_name text COLLATE "C" NOT NULL,
    samples bigint NOT NULL,
    total bigint NOT NULL,
    highest bigint NOT NULL,
    -- Buckets and their counts, such as '12:3 40:1'; empty for values that are no durations.
    histogram text NOT NULL,
    PRIMARY KEY (minute, statistic, subject, source, shard_name)
);

-- Position in the feed of this database after the last event that is counted. A physical copy continues there.
CREATE TABLE statistics_progress (
    is_the_only_row boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (is_the_only_row),
    transaction_number bigint NOT NULL,
    sequence bigint NOT NULL,
    -- Time up to which all events are counted.
    complete_until_ns bigint NOT NULL
);

INSERT INTO schema_versions (version, compatible_from) VALUES (19, 8);
