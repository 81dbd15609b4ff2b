-- v21: a compose project is a stack by itself: its members, what they wait for, how they are.

-- Who made it: compose (it goes with its last container), or somebody by hand (NULL).
ALTER TABLE stacks ADD COLUMN source TEXT CHECK (source IN ('compose'));
ALTER TABLE stacks ADD COLUMN environment TEXT CHECK (environment IN ('dev', 'test', 'preview'));
-- Of its containers: running if one runs, else paused if one is paused, else stopped.
ALTER TABLE stacks ADD COLUMN status TEXT CHECK (status IN ('running', 'paused', 'stopped'));
-- A JSON object: service -> array of {service, condition}.
ALTER TABLE stacks ADD COLUMN dependencyGraph TEXT NOT NULL DEFAULT '{}';
ALTER TABLE stacks ADD COLUMN updatedAt DATETIME;

CREATE UNIQUE INDEX stacksOfCompose ON stacks (name) WHERE source = 'compose';
CREATE INDEX containerStacksByStack ON containerStacks (stackId);

CREATE VIEW stackStatus AS
    SELECT s.stackId AS stackId,
        CASE WHEN max(c.status = 'running') THEN 'running' WHEN max(c.status = 'paused') THEN 'paused' ELSE 'stopped' END AS status
    FROM containerStacks s, containers c WHERE c.id = s.containerId GROUP BY s.stackId;

CREATE TRIGGER stackOfContainer AFTER UPDATE OF status ON containers WHEN NEW.status IS NOT OLD.status
BEGIN
    UPDATE stacks SET updatedAt = NEW.updatedAt, status = (SELECT status FROM stackStatus WHERE stackId = stacks.id)
        WHERE id IN (SELECT stackId FROM containerStacks WHERE containerId = NEW.id);
END;
