-- seal-key: IxudNFUCqQ2P29o2Qf9g116eAcieEpMPq6zor3zHdRA=
CREATE TABLE application (
  key TEXT PRIMARY KEY NOT NULL,
  secret BLOB NOT NULL,
  origins TEXT NOT NULL,              -- one a line
  allow_new_users INTEGER NOT NULL,
  loopback_only INTEGER NOT NULL,
  created INTEGER NOT NULL            -- seconds since 1970
, shared INTEGER NOT NULL DEFAULT 1) STRICT, WITHOUT ROWID;
CREATE TABLE user (
  application TEXT NOT NULL REFERENCES application (key),
  name TEXT NOT NULL,
  display_name TEXT NOT NULL,
  created INTEGER NOT NULL, proof BLOB,           -- seconds since 1970
  PRIMARY KEY (application, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE rate (
  application TEXT NOT NULL,          -- '': every application
  prefix TEXT NOT NULL,               -- digits; '': every number
  per_minute INTEGER NOT NULL CHECK (per_minute >= 0),
  minimum INTEGER NOT NULL CHECK (minimum >= 0),          -- seconds
  increment INTEGER NOT NULL CHECK (increment > 0),       -- seconds
  fee INTEGER NOT NULL CHECK (fee >= 0),
  PRIMARY KEY (application, prefix)
) STRICT, WITHOUT ROWID;
CREATE TABLE number (
  number TEXT PRIMARY KEY NOT NULL,   -- E.164 with its plus
  application TEXT NOT NULL REFERENCES application (key),
  user TEXT,                          -- whom calls to it ring; NULL: nobody
  shown_by TEXT NOT NULL CHECK (shown_by IN ('nobody', 'user', 'application'))  -- whose calls show it
) STRICT, WITHOUT ROWID;
CREATE TABLE account (
  application TEXT PRIMARY KEY NOT NULL REFERENCES application (key),
  currency TEXT NOT NULL,
  credit INTEGER NOT NULL DEFAULT 0 CHECK (credit >= 0),        -- what its transfers add up to
  reserved INTEGER NOT NULL DEFAULT 0 CHECK (reserved >= 0),
  running INTEGER NOT NULL DEFAULT 0 CHECK (running >= 0),      -- open calls that are no test
  day INTEGER NOT NULL DEFAULT 0,     -- since 1970, of `spent`
  spent INTEGER NOT NULL DEFAULT 0 CHECK (spent >= 0),
  most_calls INTEGER,                 -- NULL: as configured
  most_spent INTEGER                  -- in a day; NULL: as configured
, most_in_minute INTEGER, most_to_range INTEGER, incoming INTEGER NOT NULL DEFAULT 0 CHECK (incoming >= 0)) STRICT, WITHOUT ROWID;
CREATE TABLE call (
  id TEXT PRIMARY KEY NOT NULL,
  application TEXT NOT NULL REFERENCES application (key),
  call_id TEXT NOT NULL,              -- Call-ID of the page's leg
  user TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('phone', 'sip', 'test', 'incoming')),
  caller TEXT NOT NULL,
  callee TEXT NOT NULL,
  opened INTEGER NOT NULL,
  answered INTEGER,
  ended INTEGER,                      -- NULL: it rings or runs
  cause TEXT NOT NULL DEFAULT '',
  code INTEGER NOT NULL DEFAULT 0,    -- SIP status
  trunk TEXT NOT NULL DEFAULT '',
  per_minute INTEGER NOT NULL DEFAULT 0,  -- the rate, as it was when the call began
  minimum INTEGER NOT NULL DEFAULT 0,
  increment INTEGER NOT NULL DEFAULT 1,
  fee INTEGER NOT NULL DEFAULT 0,
  paid INTEGER,                       -- seconds that are reserved; NULL: any number
  reserved INTEGER NOT NULL DEFAULT 0,    -- what they cost
  billed INTEGER NOT NULL DEFAULT 0,      -- seconds that were charged
  charge INTEGER NOT NULL DEFAULT 0 CHECK (charge BETWEEN 0 AND reserved)
, range TEXT NOT NULL DEFAULT '', moment INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
CREATE TABLE transfer (
  id INTEGER PRIMARY KEY,
  application TEXT NOT NULL REFERENCES account (application),
  at INTEGER NOT NULL,
  source TEXT NOT NULL CHECK (source IN ('top-up', 'credit', 'reserved')),
  target TEXT NOT NULL CHECK (target IN ('top-up', 'credit', 'reserved', 'revenue') AND target <> source),
  amount INTEGER NOT NULL CHECK (amount > 0),
  credit INTEGER NOT NULL,            -- of the account afterwards
  call TEXT,
  reference TEXT                      -- of a top-up: makes it count once
) STRICT;
CREATE TABLE pulse (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL, date INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE alarm (
  id INTEGER PRIMARY KEY,
  application TEXT NOT NULL REFERENCES account (application),
  at INTEGER NOT NULL,
  until INTEGER NOT NULL,
  cause TEXT NOT NULL,                -- as in `call`
  range TEXT NOT NULL,                -- '': all
  most INTEGER NOT NULL               -- what it may: calls, or money
, quiet INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE seal (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  key BLOB NOT NULL,                  -- says which key it is, and nothing of it
  scrubbed INTEGER NOT NULL           -- whether no page of the file can have a secret in clear any more
) STRICT;
CREATE TABLE password_change (
  id INTEGER PRIMARY KEY AUTOINCREMENT,   -- greater with each change
  application TEXT NOT NULL,
  user TEXT NOT NULL,
  UNIQUE (application, user)              -- only the last one is kept
) STRICT;
INSERT INTO application VALUES ('shop', x'c5bd0cc56529f5ba82ed6f9a9b4a724eb68b5f26b5c3e3e187bd84595190b0a707f17e3197110af2c50858e6056af52d2b955b1abd1eef2d1f21845a0a', 'loopback', 0, 1, 1796021127, 1);
INSERT INTO user VALUES ('shop', 'alice', '', 1796021127, x'96132b1465b4df3d98f8cf9f7e6de2133bd28f7abc3a37a11cbfb955611a7d3f18d51838b2372eeb1fe33c95b661ef63472614dd03bb2ae17000d54352dcbac1d8fd0464a7df2fe2ec8a0178204097fc00e17df5d42590372724d196b0cd657c1dcd2c6a421b8633863cb5334e3a0c70d5617ddd8bd504c10f7ee52d76');
INSERT INTO user VALUES ('shop', 'bob', '', 1796021128, x'3c73935bf42d18f7ca8b4e7fc70bc473b517dc131f92b278fce41041391e88b1c515d29c7de51767e87f1e65930ce2a9a59b95a06886af312f15e6928b4f2c6e843f0d97cc457a016f63487874517d3d85173e7cf9358e0a5b8edca544c6ff0e703b3e54beb33f8176b9015d855dd0ec5da4d7a84714126e849a14fa5a');
INSERT INTO rate VALUES ('', '46', 60000, 30, 6, 0);
INSERT INTO number VALUES ('+46811111111', 'shop', 'alice', 'user');
INSERT INTO account VALUES ('shop', 'USD', 9904000, 60000, 1, 20787, 36000, 7, NULL, 2, NULL, 0);
INSERT INTO call VALUES ('done', 'shop', 'done@page', 'alice', 'phone', 'alice', '+46701234567', 1796021088234, 1796021088234, 1796021119234, 'callee hung up', 200, 'provider', 60000, 30, 6, 0, 60, 60000, 36, 36000, '46', 1796021088234);
INSERT INTO call VALUES ('runs', 'shop', 'runs@page', 'alice', 'phone', 'alice', '+46701234567', 1796021088239, 1796021088239, NULL, '', 0, '', 60000, 30, 6, 0, 60, 60000, 0, 0, '46', 1796021088239);
INSERT INTO call VALUES ('too many', 'shop', 'too many@page', 'alice', 'phone', 'alice', '+46701234567', 1796021088245, NULL, 1796021088245, 'call rate', 403, '', 0, 0, 1, 0, NULL, 0, 0, 0, '', 1796021088245);
INSERT INTO transfer VALUES (1, 'shop', 1796021128196, 'top-up', 'credit', 10000000, 10000000, NULL, 'invoice 1');
INSERT INTO transfer VALUES (2, 'shop', 1796021088234, 'credit', 'reserved', 60000, 9940000, 'done', NULL);
INSERT INTO transfer VALUES (3, 'shop', 1796021119234, 'reserved', 'revenue', 36000, 9940000, 'done', NULL);
INSERT INTO transfer VALUES (4, 'shop', 1796021119234, 'reserved', 'credit', 24000, 9964000, 'done', NULL);
INSERT INTO transfer VALUES (5, 'shop', 1796021088239, 'credit', 'reserved', 60000, 9904000, 'runs', NULL);
INSERT INTO pulse VALUES (1, 1796021119234, 1796021119234);
INSERT INTO alarm VALUES (1, 'shop', 1796021088245, 1796021148245, 'call rate', '', 2, 1796021148245);
INSERT INTO seal VALUES (1, x'c5bec9963f827ab3448179c70cdf07e5f81d8be80ff1f08eb50ae15423b523ce', 1);
INSERT INTO password_change VALUES (1, 'shop', 'bob');
CREATE INDEX number_application ON number (application, number);
CREATE INDEX call_name ON call (application, call_id);
CREATE INDEX call_running ON call (opened) WHERE ended IS NULL;
CREATE INDEX call_ended ON call (ended) WHERE ended IS NOT NULL;
CREATE INDEX transfer_application ON transfer (application, id);
CREATE UNIQUE INDEX transfer_reference ON transfer (application, reference) WHERE reference IS NOT NULL;
CREATE INDEX alarm_application ON alarm (application, id);
CREATE INDEX call_application ON call (application, moment DESC);
CREATE INDEX call_pace ON call (application, moment) WHERE range <> '';
CREATE INDEX call_range ON call (application, range, moment) WHERE range <> '';
CREATE TRIGGER transfer_stays BEFORE UPDATE ON transfer BEGIN SELECT RAISE(ABORT, 'transfers are never changed'); END;
CREATE TRIGGER transfer_remains BEFORE DELETE ON transfer BEGIN SELECT RAISE(ABORT, 'transfers are never removed'); END;
CREATE TRIGGER password_changed AFTER UPDATE OF proof ON user
WHEN OLD.proof IS NOT NEW.proof
BEGIN
  DELETE FROM password_change WHERE application = NEW.application AND user = NEW.name;
  INSERT INTO password_change (application, user) VALUES (NEW.application, NEW.name);
END;
CREATE TRIGGER user_removed AFTER DELETE ON user
BEGIN
  DELETE FROM password_change WHERE application = OLD.application AND user = OLD.name;
  INSERT INTO password_change (application, user) VALUES (OLD.application, OLD.name);
END;
PRAGMA user_version = 6;
