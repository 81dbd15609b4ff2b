-- v10: what of the host a request asked for (a JSON array of paths, NULL when there was none), and the user who asked.

ALTER TABLE shimEvents ADD COLUMN hostPaths TEXT;
ALTER TABLE shimEvents ADD COLUMN peerUid INTEGER;
