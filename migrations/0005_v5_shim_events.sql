-- v5: one row for each HTTP request on the socket. containerId is the 64-hex id that the client used.
CREATE TABLE shimEvents (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    status      TEXT NOT NULL,
    containerId TEXT,
    image       TEXT,
    kind        TEXT NOT NULL,
    timestamp   DATETIME NOT NULL
);
