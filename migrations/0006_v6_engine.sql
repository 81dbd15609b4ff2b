-- v6: what a daemon that runs containers itself has to keep: the whole container, Docker's events, the rest of a request.

-- What `inspect` must give back, as JSON where Docker has an object. A row without `shimId` is a bare summary.
ALTER TABLE containers ADD COLUMN projectId TEXT;
ALTER TABLE containers ADD COLUMN imageId TEXT;
ALTER TABLE containers ADD COLUMN state TEXT
    CHECK (state IN ('created', 'starting', 'running', 'paused', 'restarting', 'stopped', 'removing', 'error'));
ALTER TABLE containers ADD COLUMN pid INTEGER;
ALTER TABLE containers ADD COLUMN shimId TEXT;
ALTER TABLE containers ADD COLUMN path TEXT;
ALTER TABLE containers ADD COLUMN args TEXT;
ALTER TABLE containers ADD COLUMN config TEXT;
ALTER TABLE containers ADD COLUMN hostConfig TEXT;
ALTER TABLE containers ADD COLUMN networkingConfig TEXT;
ALTER TABLE containers ADD COLUMN networks TEXT;
ALTER TABLE containers ADD COLUMN networkIds TEXT;
ALTER TABLE containers ADD COLUMN volumeMounts TEXT;
ALTER TABLE containers ADD COLUMN startedAt DATETIME;
ALTER TABLE containers ADD COLUMN finishedAt DATETIME;
ALTER TABLE containers ADD COLUMN exitCode INTEGER;
ALTER TABLE containers ADD COLUMN oomKilled INTEGER;
ALTER TABLE containers ADD COLUMN error TEXT;
ALTER TABLE containers ADD COLUMN restartCount INTEGER;
ALTER TABLE containers ADD COLUMN manuallyStopped INTEGER;
ALTER TABLE containers ADD COLUMN platform TEXT;
ALTER TABLE containers ADD COLUMN engineHostPath TEXT;
ALTER TABLE containers ADD COLUMN kernelVersion TEXT;
ALTER TABLE containers ADD COLUMN rosettaRequired INTEGER;
-- Read from the configuration, so that they cannot disagree with it; computed when asked for, never stored.
ALTER TABLE containers ADD COLUMN env TEXT GENERATED ALWAYS AS (json_extract(config, '$.env')) VIRTUAL;
ALTER TABLE containers ADD COLUMN resources TEXT GENERATED ALWAYS AS (json_object(
    'nanoCpus', json_extract(hostConfig, '$.nanoCpus'),
    'cpuShares', json_extract(hostConfig, '$.cpuShares'),
    'memory', json_extract(hostConfig, '$.memory'),
    'memorySwap', json_extract(hostConfig, '$.memorySwap'),
    'pidsLimit', json_extract(hostConfig, '$.pidsLimit')
)) VIRTUAL;

-- 1:1 with a container of this daemon: what clients call it, and what they asked for in vain.
CREATE TABLE dockerShimMappings (
    containerId       TEXT NOT NULL PRIMARY KEY REFERENCES containers (id) ON DELETE CASCADE,
    shimContainerId   TEXT NOT NULL CHECK (length(shimContainerId) = 64 AND shimContainerId NOT GLOB '*[^0-9a-f]*'),
    socket            TEXT NOT NULL DEFAULT '',
    engineContainerId TEXT NOT NULL,
    apiVersion        TEXT NOT NULL,
    unsupportedFlags  TEXT NOT NULL DEFAULT '[]',
    lastAccessedAt    DATETIME NOT NULL,
    UNIQUE (socket, shimContainerId)
);

ALTER TABLE shimEvents ADD COLUMN method TEXT;
ALTER TABLE shimEvents ADD COLUMN path TEXT;
ALTER TABLE shimEvents ADD COLUMN operation TEXT GENERATED ALWAYS AS (kind) VIRTUAL;
ALTER TABLE shimEvents ADD COLUMN apiVersion TEXT;
ALTER TABLE shimEvents ADD COLUMN httpStatus INTEGER;
ALTER TABLE shimEvents ADD COLUMN durationMicros INTEGER;
ALTER TABLE shimEvents ADD COLUMN client TEXT;
ALTER TABLE shimEvents ADD COLUMN requestId TEXT;
ALTER TABLE shimEvents ADD COLUMN error TEXT;
ALTER TABLE shimEvents ADD COLUMN unsupportedFlags TEXT;

-- `docker events`. timeNano is nanoseconds since 1970, UTC.
CREATE TABLE events (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT NOT NULL,
    action     TEXT NOT NULL,
    actorId    TEXT NOT NULL,
    attributes TEXT NOT NULL DEFAULT '{}',
    scope      TEXT NOT NULL CHECK (scope IN ('local', 'swarm')),
    timeNano   INTEGER NOT NULL
);
CREATE INDEX eventsByTime ON events (timeNano);

-- Pruning to the newest lines of one container walks this; shimEvents has no index on purpose: every request pays for it.
CREATE INDEX containerLogsByContainer ON containerLogs (containerId, id);
CREATE INDEX imagesByName ON images (name, tag);
