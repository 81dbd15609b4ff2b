-- v14: what containers printed, to be searched: more of it than containerLogs has, and also of containers that are gone.

-- One row for each container that ever printed. No foreign key: it outlives its container by as long as its lines are kept.
CREATE TABLE logStreams (
    id              INTEGER PRIMARY KEY,
    -- As in containers.id, and what clients call it.
    containerId     TEXT NOT NULL UNIQUE,
    shimContainerId TEXT NOT NULL,
    name            TEXT NOT NULL,
    stack           TEXT,
    -- The time of the last line that was looked at, and how many lines have just that time: where the next look goes on.
    readUntil       DATETIME,
    readAtUntil     INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX logStreamsByShim ON logStreams (shimContainerId);

CREATE TABLE logLines (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    streamId  INTEGER NOT NULL REFERENCES logStreams (id) ON DELETE CASCADE,
    timestamp DATETIME NOT NULL,
    -- NULL where the line does not tell.
    level     TEXT CHECK (level IN ('trace', 'debug', 'info', 'warn', 'error', 'fatal')),
    source    TEXT NOT NULL CHECK (source IN ('stdout', 'stderr')),
    message   TEXT NOT NULL
);
CREATE INDEX logLinesByStream ON logLines (streamId, id);

-- Lines after `since` and before `until` came faster than they could be stored, and were passed over.
CREATE TABLE logGaps (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    streamId INTEGER NOT NULL REFERENCES logStreams (id) ON DELETE CASCADE,
    since    DATETIME NOT NULL,
    until    DATETIME NOT NULL
);
CREATE INDEX logGapsByStream ON logGaps (streamId);

-- The words of logLines.message; the text itself is there alone.
CREATE VIRTUAL TABLE logSearch USING fts5 (message, content = 'logLines', content_rowid = 'id');
CREATE TRIGGER logSearchAdded AFTER INSERT ON logLines
BEGIN
    INSERT INTO logSearch (rowid, message) VALUES (NEW.id, NEW.message);
END;
CREATE TRIGGER logSearchRemoved AFTER DELETE ON logLines
BEGIN
    INSERT INTO logSearch (logSearch, rowid, message) VALUES ('delete', OLD.id, OLD.message);
END;
