-- Failed smoke tests that an operator accepted, as devices answered: `thorctl commit --accept-failed-smoke`.

CREATE TABLE accepted_smokes (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  device  TEXT NOT NULL,  -- its name in the inventory
  release TEXT NOT NULL,
  at      TEXT NOT NULL,  -- RFC 3339, UTC, on the device's clock
  who     TEXT NOT NULL,  -- user@host
  reason  TEXT NOT NULL
) STRICT;

CREATE TRIGGER accepted_smokes_is_not_changed BEFORE UPDATE ON accepted_smokes
  BEGIN SELECT RAISE (ABORT, 'accepted smoke tests are only added to'); END;
CREATE TRIGGER accepted_smokes_is_not_deleted BEFORE DELETE ON accepted_smokes
  BEGIN SELECT RAISE (ABORT, 'accepted smoke tests are only added to'); END;
