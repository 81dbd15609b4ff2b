-- v13: the process that asked (beside its user), and the stack of the container that it asked for.

ALTER TABLE shimEvents ADD COLUMN peerPid INTEGER;
ALTER TABLE shimEvents ADD COLUMN stack TEXT;
