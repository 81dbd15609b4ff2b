-- v9: which image came from which registry, when, and what became of each attempt.

CREATE TABLE imagePulls (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    registry TEXT NOT NULL,
    name     TEXT NOT NULL,
    -- `name:tag` or `name@digest` as it was asked for.
    reference TEXT NOT NULL,
    -- Of the manifest or index; NULL when the pull failed before it was known.
    digest   TEXT,
    -- The image's id, as in images.digest.
    imageId  TEXT,
    status   TEXT NOT NULL CHECK (status IN ('pulled', 'failed')),
    error    TEXT,
    pulledAt DATETIME NOT NULL
);
CREATE INDEX imagePullsByImage ON imagePulls (imageId, id);

ALTER TABLE images ADD COLUMN registry TEXT;
ALTER TABLE images ADD COLUMN pulledAt DATETIME;
ALTER TABLE images ADD COLUMN pullStatus TEXT;

-- Rows of images are written anew whenever something changes; what the history knows of them is put in here.
CREATE TRIGGER imagesFromRegistry AFTER INSERT ON images WHEN NEW.digest IS NOT NULL
BEGIN
    UPDATE images SET (registry, pulledAt, pullStatus) =
        (SELECT p.registry, p.pulledAt, p.status FROM imagePulls p WHERE p.imageId = NEW.digest ORDER BY p.id DESC LIMIT 1)
    WHERE id = NEW.id;
END;

-- The history keeps its newest rows.
CREATE TRIGGER imagePullsPruned AFTER INSERT ON imagePulls
BEGIN
    DELETE FROM imagePulls WHERE id <= NEW.id - 10000;
END;
