-- What version 3 of the tables looks like with two applications, two users and a top-up.
PRAGMA foreign_keys = OFF;
BEGIN TRANSACTION;
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
, most_in_minute INTEGER, most_to_range INTEGER) STRICT, WITHOUT ROWID;
INSERT INTO "account" VALUES('demo','USD',10000000,0,0,0,0,NULL,NULL,NULL,NULL);
INSERT INTO "account" VALUES('shop','USD',10000000,0,0,0,0,NULL,NULL,NULL,NULL);
CREATE TABLE alarm (
  id INTEGER PRIMARY KEY,
  application TEXT NOT NULL REFERENCES account (application),
  at INTEGER NOT NULL,
  until INTEGER NOT NULL,
  cause TEXT NOT NULL,                -- as in `call`
  range TEXT NOT NULL,                -- '': all
  most INTEGER NOT NULL               -- what it may: calls, or money
) STRICT;
CREATE TABLE application (
  key TEXT PRIMARY KEY NOT NULL,
  secret BLOB NOT NULL,
  origins TEXT NOT NULL,              -- one a line
  allow_new_users INTEGER NOT NULL,
  loopback_only INTEGER NOT NULL,
  created INTEGER NOT NULL            -- seconds since 1970
) STRICT, WITHOUT ROWID;
INSERT INTO "application" VALUES('demo',X'9102BD3028DCCD08C637C16DF256F910F4AE7A81F4A8B8D7CA906C8E96D746F4','loopback',1,1,1795992633);
INSERT INTO "application" VALUES('shop',X'6120736563726574206F66207468652074686972642076657273696F6E2C20696E20636C656172','loopback',1,0,1795992632);
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
, range TEXT NOT NULL DEFAULT '') STRICT, WITHOUT ROWID;
CREATE TABLE number (
  number TEXT PRIMARY KEY NOT NULL,   -- E.164 with its plus
  application TEXT NOT NULL REFERENCES application (key),
  user TEXT,                          -- whom calls to it ring; NULL: nobody
  shown_by TEXT NOT NULL CHECK (shown_by IN ('nobody', 'user', 'application'))  -- whose calls show it
) STRICT, WITHOUT ROWID;
CREATE TABLE pulse (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL) STRICT;
INSERT INTO "pulse" VALUES(1,0);
CREATE TABLE rate (
  application TEXT NOT NULL,          -- '': every application
  prefix TEXT NOT NULL,               -- digits; '': every number
  per_minute INTEGER NOT NULL CHECK (per_minute >= 0),
  minimum INTEGER NOT NULL CHECK (minimum >= 0),          -- seconds
  increment INTEGER NOT NULL CHECK (increment > 0),       -- seconds
  fee INTEGER NOT NULL CHECK (fee >= 0),
  PRIMARY KEY (application, prefix)
) STRICT, WITHOUT ROWID;
INSERT INTO "rate" VALUES('demo','',20000,0,1,0);
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
INSERT INTO "transfer" VALUES(1,'shop',1795992632932,'top-up','credit',10000000,10000000,NULL,'invoice 7');
INSERT INTO "transfer" VALUES(2,'demo',1795992633045,'top-up','credit',10000000,10000000,NULL,'demo');
CREATE TABLE user (
  application TEXT NOT NULL REFERENCES application (key),
  name TEXT NOT NULL,
  display_name TEXT NOT NULL,
  ha1_sha256 TEXT,                    -- NULL: no password, only tickets
  ha1_md5 TEXT,
  created INTEGER NOT NULL,           -- seconds since 1970
  PRIMARY KEY (application, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "user" VALUES('shop','alice','Alice','cc4fcf041b1ebf5fdd3043bdc2f37a2aed27b619bf75532ebc6cb3f33889b745','8b62a5f13d260b021bdf58542e2a6571',1795992632);
INSERT INTO "user" VALUES('shop','bob','','e7a9e4ab0be2cbb0e9120817a32fb3ab1ed7761165643c8cfdf4063fc5bc8659','de3d3aca2c4232bbcc410115cc8db441',1795992632);
CREATE INDEX number_application ON number (application, number);
CREATE INDEX call_application ON call (application, opened DESC);
CREATE INDEX call_name ON call (application, call_id);
CREATE INDEX call_running ON call (opened) WHERE ended IS NULL;
CREATE INDEX call_ended ON call (ended) WHERE ended IS NOT NULL;
CREATE INDEX transfer_application ON transfer (application, id);
CREATE UNIQUE INDEX transfer_reference ON transfer (application, reference) WHERE reference IS NOT NULL;
CREATE TRIGGER transfer_stays BEFORE UPDATE ON transfer BEGIN SELECT RAISE(ABORT, 'transfers are never changed'); END;
CREATE TRIGGER transfer_remains BEFORE DELETE ON transfer BEGIN SELECT RAISE(ABORT, 'transfers are never removed'); END;
CREATE INDEX call_pace ON call (application, opened) WHERE range <> '';
CREATE INDEX call_range ON call (application, range, opened) WHERE range <> '';
CREATE INDEX alarm_application ON alarm (application, id);
COMMIT;
PRAGMA user_version = 3;
