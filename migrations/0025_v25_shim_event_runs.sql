-- v25: under a flood, requests that are alike are kept packed, with ids of shimEvents reserved for them, and become rows
-- there when it is quieter.

CREATE TABLE shimEventRuns (
    firstId INTEGER PRIMARY KEY,
    -- What all have in common, as in shimEvents.
    status TEXT NOT NULL,
    containerId TEXT,
    image TEXT,
    kind TEXT NOT NULL,
    method TEXT,
    path TEXT,
    apiVersion TEXT,
    httpStatus INTEGER,
    client TEXT,
    error TEXT,
    unsupportedFlags TEXT,
    hostPaths TEXT,
    peerUid INTEGER,
    peerPid INTEGER,
    stack TEXT,
    -- When the first came.
    timestamp TEXT NOT NULL,
    -- What each has of its own, in 16 bytes, little-endian: nanoseconds after the first (4, signed), durationMicros (4), the
    -- number that requestId is in hexadecimal digits (8).
    own BLOB NOT NULL
);

-- Ids are reserved there, also before the first row.
INSERT INTO sqlite_sequence (name, seq)
SELECT 'shimEvents', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'shimEvents');
