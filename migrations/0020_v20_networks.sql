-- v20: the rest of a network, and who is on it. A row's id is the first half of networkId, so that it stays the same when
-- the daemon brings the table in line with its engine.

ALTER TABLE networks ADD COLUMN networkId TEXT;
ALTER TABLE networks ADD COLUMN driver TEXT;
ALTER TABLE networks ADD COLUMN gateway TEXT;
ALTER TABLE networks ADD COLUMN internal INTEGER;
ALTER TABLE networks ADD COLUMN attachable INTEGER;
ALTER TABLE networks ADD COLUMN ipv4 INTEGER;
ALTER TABLE networks ADD COLUMN ipv6 INTEGER;
-- A JSON array of {subnet, ipRange, gateway, auxAddresses}.
ALTER TABLE networks ADD COLUMN addressPools TEXT;
-- JSON objects.
ALTER TABLE networks ADD COLUMN options TEXT;
ALTER TABLE networks ADD COLUMN labels TEXT;

-- connectedContainerIDs follows containers.networkIds, whoever writes it. That changes seldom: when a container is first on
-- a network, and when it is taken off.
CREATE TRIGGER networkOfNewContainer AFTER INSERT ON containers WHEN NEW.networkIds IS NOT NULL AND NEW.networkIds <> '[]'
BEGIN
    UPDATE networks SET connectedContainerIDs = json_insert(connectedContainerIDs, '$[#]', NEW.id), updatedAt = NEW.updatedAt
        WHERE networkId IN (SELECT value FROM json_each(NEW.networkIds));
END;

CREATE TRIGGER networkOfContainer AFTER UPDATE OF networkIds ON containers WHEN NEW.networkIds IS NOT OLD.networkIds
BEGIN
    UPDATE networks SET updatedAt = NEW.updatedAt, connectedContainerIDs =
            (SELECT json_group_array(value) FROM json_each(connectedContainerIDs) WHERE value <> OLD.id)
        WHERE networkId IN (SELECT value FROM json_each(coalesce(OLD.networkIds, '[]')));
    UPDATE networks SET connectedContainerIDs = json_insert(connectedContainerIDs, '$[#]', NEW.id), updatedAt = NEW.updatedAt
        WHERE networkId IN (SELECT value FROM json_each(coalesce(NEW.networkIds, '[]')));
END;

CREATE TRIGGER networkOfOldContainer AFTER DELETE ON containers WHEN OLD.networkIds IS NOT NULL AND OLD.networkIds <> '[]'
BEGIN
    UPDATE networks SET updatedAt = strftime('%Y-%m-%dT%H:%M:%f000000Z', 'now'), connectedContainerIDs =
            (SELECT json_group_array(value) FROM json_each(connectedContainerIDs) WHERE value <> OLD.id)
        WHERE networkId IN (SELECT value FROM json_each(OLD.networkIds));
END;

-- The names by which containers are found on networks that users made: dnsNames of the data model.
CREATE VIEW networkDnsNames AS
    SELECT n.id AS networkId, c.id AS containerId, c.name AS dnsName
        FROM networks n, json_each(n.connectedContainerIDs) m, containers c
        WHERE c.id = m.value AND n.name NOT IN ('bridge', 'host', 'none')
    UNION
    SELECT n.id, c.id, a.value
        FROM networks n, json_each(n.connectedContainerIDs) m, containers c, json_each(c.networkingConfig) e,
            json_each(e.value, '$.aliases') a
        WHERE c.id = m.value AND e.key = n.name AND n.name NOT IN ('bridge', 'host', 'none');
