-- Version 4 of the tables: secrets are sealed (seal.rs). Version 1 had them in clear; they are sealed in the same transaction.
ALTER TABLE application ADD COLUMN shared INTEGER NOT NULL DEFAULT 1;  -- whether the secret itself signs, and not only what is derived from it
ALTER TABLE user ADD COLUMN proof BLOB;                                -- the digest hashes of the password; NULL: no password, only tickets

CREATE TABLE seal (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  key BLOB NOT NULL,                  -- says which key it is, and nothing of it
  scrubbed INTEGER NOT NULL           -- whether no page of the file can have a secret in clear any more
) STRICT;

PRAGMA user_version = 4;
