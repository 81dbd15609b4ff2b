-- v22: the status of every stack, also of one made by hand, is that of its containers, whoever writes them. The rule is the view
-- stackStatus; a stack without containers is stopped.

CREATE TRIGGER stackIsNew AFTER INSERT ON stacks WHEN NEW.status IS NULL
BEGIN
    UPDATE stacks SET status = 'stopped' WHERE id = NEW.id;
END;

CREATE TRIGGER stackJoined AFTER INSERT ON containerStacks
BEGIN
    UPDATE stacks SET status = coalesce((SELECT status FROM stackStatus WHERE stackId = NEW.stackId), 'stopped')
        WHERE id = NEW.stackId;
END;

CREATE TRIGGER stackLeft AFTER DELETE ON containerStacks
BEGIN
    UPDATE stacks SET status = coalesce((SELECT status FROM stackStatus WHERE stackId = OLD.stackId), 'stopped')
        WHERE id = OLD.stackId;
END;

UPDATE stacks SET status = coalesce((SELECT status FROM stackStatus WHERE stackId = stacks.id), 'stopped');
