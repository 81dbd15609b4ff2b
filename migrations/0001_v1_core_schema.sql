-- v1: containers, images, stacks and which container is in which stack.
-- Dates are UTC text (RFC 3339 with nine digits of fraction, so that text order is time order); lists are JSON text.
CREATE TABLE containers (
    id        TEXT NOT NULL PRIMARY KEY,
    name      TEXT NOT NULL,
    image     TEXT NOT NULL,
    status    TEXT NOT NULL CHECK (status IN ('running', 'stopped', 'paused')),
    ports     TEXT NOT NULL DEFAULT '[]',
    createdAt DATETIME NOT NULL,
    updatedAt DATETIME NOT NULL
);

CREATE TABLE images (
    id        TEXT NOT NULL PRIMARY KEY,
    name      TEXT NOT NULL,
    tag       TEXT NOT NULL,
    digest    TEXT,
    sizeBytes INTEGER,
    createdAt DATETIME NOT NULL
);

CREATE TABLE stacks (
    id             TEXT NOT NULL PRIMARY KEY,
    name           TEXT NOT NULL,
    description    TEXT,
    createdAt      DATETIME NOT NULL,
    containerNames TEXT NOT NULL DEFAULT '[]'
);

CREATE TABLE containerStacks (
    containerId TEXT NOT NULL REFERENCES containers (id) ON DELETE CASCADE,
    stackId     TEXT NOT NULL REFERENCES stacks (id) ON DELETE CASCADE,
    PRIMARY KEY (containerId, stackId)
);
