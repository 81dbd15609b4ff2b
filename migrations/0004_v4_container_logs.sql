-- v4: the newest lines of each container. No foreign key: what a container said may be asked for after it is gone.
CREATE TABLE containerLogs (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    containerId TEXT NOT NULL,
    line        TEXT NOT NULL,
    createdAt   DATETIME NOT NULL
);
