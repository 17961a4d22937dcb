-- Version 5 of the tables: whose password was changed, or who was removed, by whatever process.
CREATE TABLE password_change (
  id INTEGER PRIMARY KEY AUTOINCREMENT,   -- greater with each change
  application TEXT NOT NULL,
  user TEXT NOT NULL,
  UNIQUE (application, user)              -- only the last one is kept
) STRICT;

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

PRAGMA user_version = 5;
