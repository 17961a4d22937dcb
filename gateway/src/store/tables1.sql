-- Version 1 of the tables: applications and users.
CREATE TABLE application (
  key TEXT PRIMARY KEY NOT NULL,
  secret BLOB NOT NULL,
  origins TEXT NOT NULL,              -- one a line
  allow_new_users INTEGER NOT NULL,
  loopback_only INTEGER NOT NULL,
  created INTEGER NOT NULL            -- seconds since 1970
) STRICT, WITHOUT ROWID;

CREATE TABLE user (
  application TEXT NOT NULL REFERENCES application (key),
  name TEXT NOT NULL,
  display_name TEXT NOT NULL,
  ha1_sha256 TEXT,                    -- NULL: no password, only tickets
  ha1_md5 TEXT,
  created INTEGER NOT NULL,           -- seconds since 1970
  PRIMARY KEY (application, name)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 1;
