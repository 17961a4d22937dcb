-- Version 2 of the tables: rates, numbers, accounts, calls and the books. Money is in micro-units, times in milliseconds since 1970.
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
CREATE INDEX number_application ON number (application, number);

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
) STRICT, WITHOUT ROWID;

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
) STRICT, WITHOUT ROWID;
CREATE INDEX call_application ON call (application, opened DESC);
CREATE INDEX call_name ON call (application, call_id);
CREATE INDEX call_running ON call (opened) WHERE ended IS NULL;
CREATE INDEX call_ended ON call (ended) WHERE ended IS NOT NULL;

-- Each row takes `amount` from one book and puts it into another, so that the books always balance.
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
CREATE INDEX transfer_application ON transfer (application, id);
CREATE UNIQUE INDEX transfer_reference ON transfer (application, reference) WHERE reference IS NOT NULL;
CREATE TRIGGER transfer_stays BEFORE UPDATE ON transfer BEGIN SELECT RAISE(ABORT, 'transfers are never changed'); END;
CREATE TRIGGER transfer_remains BEFORE DELETE ON transfer BEGIN SELECT RAISE(ABORT, 'transfers are never removed'); END;

-- The last moment at which the gateway is known to have run.
CREATE TABLE pulse (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL) STRICT;
INSERT INTO pulse VALUES (1, 0);

PRAGMA user_version = 2;
