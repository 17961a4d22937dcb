-- Version 6 of the tables: what lasts is measured by a clock of the books, which only goes on, also from one process to the next. Dates are
-- those of the wall clock, which may be put ahead or back: of a call, when it began; `answered` and `ended` are as much later as they were.
ALTER TABLE call ADD COLUMN moment INTEGER NOT NULL DEFAULT 0;  -- `opened` by the books' clock
UPDATE call SET moment = opened;
DROP INDEX call_application;
DROP INDEX call_pace;
DROP INDEX call_range;
CREATE INDEX call_application ON call (application, moment DESC);
CREATE INDEX call_pace ON call (application, moment) WHERE range <> '';
CREATE INDEX call_range ON call (application, range, moment) WHERE range <> '';

ALTER TABLE pulse ADD COLUMN date INTEGER NOT NULL DEFAULT 0;   -- what the wall clock showed; `at` is by the books' clock
UPDATE pulse SET date = at;

ALTER TABLE alarm ADD COLUMN quiet INTEGER NOT NULL DEFAULT 0;  -- `until` by the books' clock
UPDATE alarm SET quiet = until;

-- What comes in takes no room from what an account makes.
ALTER TABLE account ADD COLUMN incoming INTEGER NOT NULL DEFAULT 0 CHECK (incoming >= 0);  -- open calls from outside; `running` has the rest
UPDATE account SET incoming = (SELECT count(*) FROM call WHERE application = account.application AND ended IS NULL AND kind = 'incoming');
UPDATE account SET running = max(running - incoming, 0);

PRAGMA user_version = 6;
