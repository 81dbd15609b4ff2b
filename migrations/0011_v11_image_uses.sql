-- v11: when an image was last used by a container, which nobody knows once the container is gone. Garbage collection asks.

CREATE TABLE imageUses (
    -- The image's id, as in images.digest.
    imageId TEXT NOT NULL PRIMARY KEY,
    usedAt  DATETIME NOT NULL
);

INSERT INTO imageUses (imageId, usedAt)
    SELECT imageId, max(updatedAt) FROM containers WHERE imageId IS NOT NULL GROUP BY imageId;

CREATE TRIGGER imageUsedByNewContainer AFTER INSERT ON containers WHEN NEW.imageId IS NOT NULL
BEGIN
    INSERT INTO imageUses (imageId, usedAt) VALUES (NEW.imageId, NEW.createdAt)
        ON CONFLICT (imageId) DO UPDATE SET usedAt = max(usedAt, excluded.usedAt);
END;

-- A container that is there is a use by itself. One that goes was used until it last changed: its exit, not its removal.
CREATE TRIGGER imageUsedByOldContainer AFTER DELETE ON containers WHEN OLD.imageId IS NOT NULL
BEGIN
    INSERT INTO imageUses (imageId, usedAt) VALUES (OLD.imageId, OLD.updatedAt)
        ON CONFLICT (imageId) DO UPDATE SET usedAt = max(usedAt, excluded.usedAt);
END;
