-- What a device measured, with a release, when it was known to be well. thorctl/store/baselines.py
CREATE TABLE baselines (
  device      TEXT NOT NULL,
  release     TEXT NOT NULL,
  set_at      TEXT NOT NULL,  -- RFC 3339, UTC
  set_by      TEXT NOT NULL,  -- user@host
  measurement TEXT NOT NULL CHECK (json_valid(measurement)),  -- data of `thor-agent bench`
  PRIMARY KEY (device, release)
) STRICT;
