-- v16: the rest of containers, images and volumes; dev clusters and pipelines; the rules that the database itself keeps.

-- A container is of at most one project: that of the stack which it joined last.
CREATE TRIGGER projectOfContainer AFTER INSERT ON containerStacks
BEGIN
    UPDATE containers SET projectId = NEW.stackId WHERE id = NEW.containerId;
END;
CREATE TRIGGER projectOfContainerLeft AFTER DELETE ON containerStacks
BEGIN
    UPDATE containers SET projectId = NULL WHERE id = OLD.containerId AND projectId = OLD.stackId;
END;
UPDATE containers SET projectId = (SELECT max(stackId) FROM containerStacks WHERE containerId = containers.id);

-- Where an image is from, as far as it is known; rows of images are written anew whenever something changes.
CREATE TABLE imageSources (
    -- As in images.digest.
    imageId TEXT NOT NULL PRIMARY KEY,
    source  TEXT NOT NULL CHECK (source IN ('registry', 'build', 'load', 'import', 'commit'))
);
INSERT INTO imageSources (imageId, source)
    SELECT DISTINCT imageId, 'registry' FROM imagePulls WHERE imageId IS NOT NULL AND status = 'pulled';
ALTER TABLE images ADD COLUMN source TEXT CHECK (source IN ('registry', 'build', 'load', 'import', 'commit'));
-- A JSON object.
ALTER TABLE images ADD COLUMN labels TEXT;

CREATE TRIGGER imageSourceOfPull AFTER INSERT ON imagePulls WHEN NEW.status = 'pulled' AND NEW.imageId IS NOT NULL
BEGIN
    INSERT INTO imageSources (imageId, source) VALUES (NEW.imageId, 'registry')
        ON CONFLICT (imageId) DO UPDATE SET source = excluded.source;
END;
CREATE TRIGGER imageSourceOfImage AFTER INSERT ON images WHEN NEW.digest IS NOT NULL
BEGIN
    UPDATE images SET source = (SELECT source FROM imageSources WHERE imageId = NEW.digest) WHERE id = NEW.id;
END;

-- bind: a directory of the host by another name; managed: one of the engine's own, which is there before it is used.
ALTER TABLE volumes ADD COLUMN type TEXT CHECK (type IN ('bind', 'managed'));
ALTER TABLE volumes ADD COLUMN backingStore TEXT;
ALTER TABLE volumes ADD COLUMN driver TEXT;
-- JSON objects.
ALTER TABLE volumes ADD COLUMN options TEXT;
ALTER TABLE volumes ADD COLUMN labels TEXT;

CREATE TABLE devClusters (
    id             TEXT NOT NULL PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    kubeconfigPath TEXT NOT NULL DEFAULT '',
    state          TEXT NOT NULL CHECK (state IN ('starting', 'running', 'stopped', 'error')),
    nodeType       TEXT NOT NULL CHECK (nodeType IN ('apple-container', 'micro-vm', 'container')),
    -- A JSON object.
    resources      TEXT NOT NULL DEFAULT '{}',
    createdAt      DATETIME NOT NULL,
    updatedAt      DATETIME NOT NULL,
    -- One that runs can be reached.
    CHECK (state <> 'running' OR kubeconfigPath <> '')
);

CREATE TABLE pipelines (
    id            TEXT NOT NULL PRIMARY KEY,
    projectId     TEXT,
    name          TEXT NOT NULL,
    -- A JSON array, in the order in which the steps run: what was asked for, and what became of each.
    steps         TEXT NOT NULL CHECK (json_array_length(steps) > 0),
    status        TEXT NOT NULL CHECK (status IN ('pending', 'running', 'success', 'failed')),
    createdAt     DATETIME NOT NULL,
    startedAt     DATETIME,
    finishedAt    DATETIME,
    failureReason TEXT,
    -- Where its output is: the container of each step, by whose id the lines are found.
    logsRef       TEXT,
    CHECK ((status = 'failed') = (failureReason IS NOT NULL)),
    CHECK ((status IN ('success', 'failed')) = (finishedAt IS NOT NULL))
);
CREATE INDEX pipelinesByName ON pipelines (name, createdAt);

-- pending -> running -> success | failed, and never back.
CREATE TRIGGER pipelineStatusIsMonotonic BEFORE UPDATE OF status ON pipelines
WHEN NEW.status <> OLD.status AND NOT (
    (OLD.status = 'pending' AND NEW.status IN ('running', 'failed')) OR (OLD.status = 'running' AND NEW.status IN ('success', 'failed')))
BEGIN
    SELECT RAISE(ABORT, 'the status of a pipeline never goes back');
END;
