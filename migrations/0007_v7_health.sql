-- v7: what health checks found: {"status", "failingStreak", "log": [{"start", "end", "exitCode", "output"}]}; NULL without a check.

ALTER TABLE containers ADD COLUMN health TEXT;
