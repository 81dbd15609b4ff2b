-- v23: how much of the history of pulls is kept is now a setting, as for other tables that grow; the daemon prunes it.

DROP TRIGGER imagePullsPruned;
