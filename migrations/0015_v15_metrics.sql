-- v15: what containers used, over time.

-- One row for each container that was ever sampled; as logStreams, it outlives its container by as long as its samples are kept.
CREATE TABLE metricsSources (
    id              INTEGER PRIMARY KEY,
    containerId     TEXT NOT NULL UNIQUE,
    shimContainerId TEXT NOT NULL,
    name            TEXT NOT NULL,
    stack           TEXT
);

-- Bytes; cpuUsage in nanoseconds. All but memUsage are counters that begin anew with each start of the container.
CREATE TABLE metricsSamples (
    sourceId  INTEGER NOT NULL REFERENCES metricsSources (id) ON DELETE CASCADE,
    timestamp DATETIME NOT NULL,
    cpuUsage  INTEGER NOT NULL,
    memUsage  INTEGER NOT NULL,
    ioRead    INTEGER NOT NULL,
    ioWrite   INTEGER NOT NULL,
    netRx     INTEGER NOT NULL,
    netTx     INTEGER NOT NULL,
    PRIMARY KEY (sourceId, timestamp)
) WITHOUT ROWID;
