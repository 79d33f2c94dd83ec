-- Which uuid a node uses, which ones ended and why, which process it was, and how exactly it is known when it was last heard.

ALTER TABLE nodes ADD COLUMN last_seen_within INTEGER;

ALTER TABLE credentials ADD COLUMN last_used_at INTEGER;

-- Of the node's process, drawn at its start; NULL for one that does not say.
ALTER TABLE sessions ADD COLUMN instance BLOB;

-- Nothing in it opens anything: who comes with one of these is told apart from a stranger.
CREATE TABLE ended_credentials (
    identity BLOB PRIMARY KEY NOT NULL CHECK (length(identity) = 16),
    node TEXT NOT NULL,
    node_name TEXT NOT NULL,
    ended_at INTEGER NOT NULL,
    reason TEXT NOT NULL CHECK (reason IN ('expired', 'rotated', 'node-removed', 'flags', 'sealed-elsewhere', 'restored'))
) STRICT, WITHOUT ROWID;

CREATE INDEX ended_credentials_by_time ON ended_credentials (ended_at);

-- What the server knows of itself and commands need without it.
CREATE TABLE facts (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

DROP VIEW node_list;

-- What lists show. The order of the columns is that of the readers.
CREATE VIEW node_list AS
SELECT
    n.id, n.name, n.state, n.origin, n.created_at, n.revision, n.last_seen_at, n.address, n.version, n.os,
    (SELECT count(*) FROM mappings AS m WHERE m.node = n.id) AS mappings,
    EXISTS (SELECT 1 FROM sessions AS s WHERE s.node = n.id AND s.closed_at IS NULL) AS online,
    n.last_seen_within,
    (SELECT s.identity FROM sessions AS s WHERE s.node = n.id ORDER BY s.id DESC LIMIT 1) AS identity
FROM nodes AS n;
