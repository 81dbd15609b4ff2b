-- v3: volumes and networks.
CREATE TABLE volumes (
    id        TEXT NOT NULL PRIMARY KEY,
    name      TEXT NOT NULL,
    mountPath TEXT NOT NULL,
    sizeBytes INTEGER,
    createdAt DATETIME NOT NULL,
    updatedAt DATETIME NOT NULL
);

CREATE TABLE networks (
    id                    TEXT NOT NULL PRIMARY KEY,
    name                  TEXT NOT NULL,
    subnet                TEXT,
    connectedContainerIDs TEXT NOT NULL DEFAULT '[]',
    createdAt             DATETIME NOT NULL,
    updatedAt             DATETIME NOT NULL
);
