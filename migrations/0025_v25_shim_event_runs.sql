-- v25: under a flood of like requests, those after the first are kept packed, and become rows when it is quieter. Their ids
-- follow that of the first, which is a row at once; sqlite_sequence passes them over.

CREATE TABLE shimEventRuns (
    firstId INTEGER PRIMARY KEY,
    -- What each event has of its own, the first too, in 16 bytes, little-endian: nanoseconds after the first (4, signed),
    -- durationMicros (4), the number that requestId is in hexadecimal digits (8).
    own BLOB NOT NULL
);
