-- Version 3 of the tables: how fast accounts call, and when that was too fast.
ALTER TABLE call ADD COLUMN range TEXT NOT NULL DEFAULT '';  -- where a call to a telephone went; '': any other call, or refused
CREATE INDEX call_pace ON call (application, opened) WHERE range <> '';
CREATE INDEX call_range ON call (application, range, opened) WHERE range <> '';

ALTER TABLE account ADD COLUMN most_in_minute INTEGER;      -- new calls to telephones; NULL: as configured
ALTER TABLE account ADD COLUMN most_to_range INTEGER;       -- in an hour, to one range; NULL: as configured

-- An account wanted more than it may. There is no other alarm of the same cause and range before `until`.
CREATE TABLE alarm (
  id INTEGER PRIMARY KEY,
  application TEXT NOT NULL REFERENCES account (application),
  at INTEGER NOT NULL,
  until INTEGER NOT NULL,
  cause TEXT NOT NULL,                -- as in `call`
  range TEXT NOT NULL,                -- '': all
  most INTEGER NOT NULL               -- what it may: calls, or money
) STRICT;
CREATE INDEX alarm_application ON alarm (application, id);

PRAGMA user_version = 3;
