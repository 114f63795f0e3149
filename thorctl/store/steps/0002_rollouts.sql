-- Rollouts, and everything that was done for them and about them, in its order. thorctl/store/rollouts.py
CREATE TABLE rollouts (
  id       TEXT PRIMARY KEY,  -- such as 20261125-1
  began_at TEXT NOT NULL,     -- RFC 3339, UTC
  began_by TEXT NOT NULL,     -- user@host; the holder of its leases
  label    TEXT NOT NULL,     -- what was asked for: a profile or a release
  policy   TEXT NOT NULL CHECK (json_valid(policy)),
  plan     TEXT NOT NULL CHECK (json_valid(plan)),
  releases TEXT NOT NULL CHECK (json_valid(releases))  -- id -> document: a resume gives out the same bytes
) STRICT;

CREATE TABLE rollout_log (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  rollout TEXT NOT NULL REFERENCES rollouts (id),
  at      TEXT NOT NULL,  -- RFC 3339, UTC, milliseconds
  who     TEXT NOT NULL,  -- user@host
  run     TEXT NOT NULL,  -- which process wrote it
  kind    TEXT NOT NULL,  -- step_begun, step_ended, or an event of the whole rollout
  device  TEXT,
  wave    INTEGER,
  verb    TEXT,
  step    INTEGER UNIQUE REFERENCES rollout_log (id),  -- of step_ended: the line of its begin; one end each
  ok      INTEGER CHECK (ok IN (0, 1)),
  code    TEXT,
  message TEXT NOT NULL DEFAULT '',
  data    TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(data))
) STRICT;
CREATE INDEX rollout_log_of_rollout ON rollout_log (rollout, id);
CREATE INDEX rollout_log_of_device ON rollout_log (device, verb, id);

-- An audit trail that can be changed afterwards is none.
CREATE TRIGGER rollout_log_is_not_changed BEFORE UPDATE ON rollout_log
  BEGIN SELECT RAISE (ABORT, 'the rollout log is only added to'); END;
CREATE TRIGGER rollout_log_is_not_deleted BEFORE DELETE ON rollout_log
  BEGIN SELECT RAISE (ABORT, 'the rollout log is only added to'); END;
