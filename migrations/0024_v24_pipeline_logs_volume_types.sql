-- v24: a pipeline's workspace has a column of its own, and logsRef is what it is called: the containers of the steps (a JSON array
-- of the ids that clients see), by which their lines are found. And every volume tells its type, also one that came as a summary.

ALTER TABLE pipelines ADD COLUMN workspace TEXT;
UPDATE pipelines SET workspace = logsRef, logsRef =
    (SELECT json_group_array(json_extract(value, '$.containerId')) FROM json_each(steps)
        WHERE json_extract(value, '$.containerId') IS NOT NULL);

UPDATE volumes SET type = 'managed', backingStore = coalesce(backingStore, mountPath) WHERE type IS NULL;

CREATE TRIGGER volumeHasType AFTER INSERT ON volumes WHEN NEW.type IS NULL
BEGIN
    UPDATE volumes SET type = 'managed', backingStore = NEW.mountPath WHERE id = NEW.id;
END;

CREATE TRIGGER volumeKeepsType BEFORE UPDATE OF type ON volumes WHEN NEW.type IS NULL
BEGIN
    SELECT RAISE(ABORT, 'a volume has a type');
END;
