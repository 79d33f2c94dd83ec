-- The fleet: which nodes there are, how they log in, what they map, what was last seen of them, and who changed what.
-- Times are microseconds since the epoch, UTC.

CREATE TABLE nodes (
    -- The public name derived from the node's first uuid; later uuids do not change it.
    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 36),
    name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 63 AND name NOT GLOB '*[^a-z0-9._-]*'),
    state TEXT NOT NULL CHECK (state IN ('enabled', 'disabled')),
    origin TEXT NOT NULL CHECK (origin IN ('operator', 'flags')),
    -- Raised by one with every change to what the node is to run.
    revision INTEGER NOT NULL DEFAULT 0 CHECK (revision >= 0),
    created_at INTEGER NOT NULL,
    -- What the node said of itself at its last link, and when it was last heard of.
    last_seen_at INTEGER,
    address TEXT,
    version TEXT,
    os TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE node_tags (
    node TEXT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (node, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX node_tags_by_value ON node_tags (key, value);

CREATE TABLE credentials (
    identity BLOB PRIMARY KEY NOT NULL CHECK (length(identity) = 16),
    node TEXT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    public_key BLOB NOT NULL CHECK (length(public_key) = 32),
    -- AES-256-GCM under a key that is not in this database.
    sealed_psk BLOB NOT NULL,
    not_before INTEGER NOT NULL,
    -- NULL: until it is ended.
    not_after INTEGER,
    weak INTEGER NOT NULL CHECK (weak IN (0, 1)),
    origin TEXT NOT NULL CHECK (origin IN ('operator', 'flags'))
) STRICT, WITHOUT ROWID;

CREATE INDEX credentials_by_node ON credentials (node);

-- AUTOINCREMENT: an id is never given again, so what is said of it years later is said of one mapping.
-- It travels in four bytes on the wire.
CREATE TABLE mappings (
    id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 4294967295),
    node TEXT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('listener', 'peer-listener')),
    name TEXT CHECK (length(name) BETWEEN 1 AND 63 AND name NOT GLOB '*[^a-z0-9._-]*'),
    listen_domain TEXT NOT NULL CHECK (listen_domain IN ('tcp', 'tcp4', 'tcp6', 'unix')),
    listen_address TEXT NOT NULL,
    -- Port of the listening address, 0 for unix: narrows the search for conflicts.
    listen_port INTEGER NOT NULL CHECK (listen_port BETWEEN 0 AND 65535),
    forward_domain TEXT NOT NULL CHECK (forward_domain IN ('tcp', 'tcp4', 'tcp6', 'unix')),
    forward_address TEXT NOT NULL,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    origin TEXT NOT NULL CHECK (origin IN ('operator', 'flags')),
    -- The node's revision that last changed this mapping.
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (node, kind, name)
) STRICT;

-- Listeners of all nodes share the server's addresses; peer listeners are looked for by node.
CREATE INDEX listeners_by_port ON mappings (listen_port) WHERE kind = 'listener';

-- What the end that listens last said.
CREATE TABLE mapping_states (
    mapping INTEGER PRIMARY KEY REFERENCES mappings (id) ON DELETE CASCADE,
    state TEXT NOT NULL CHECK (state IN ('pending', 'active', 'failed')),
    bound_address TEXT,
    detail TEXT,
    -- The node's revision that the report answers.
    applied_revision INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;

-- One row per main link. It outlives its node, so the node's names are copied.
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY NOT NULL,
    node TEXT NOT NULL,
    node_name TEXT NOT NULL,
    identity BLOB NOT NULL,
    address TEXT NOT NULL,
    version TEXT NOT NULL,
    os TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    closed_at INTEGER,
    reason TEXT,
    sub_connections INTEGER
) STRICT;

CREATE INDEX sessions_by_node ON sessions (node, id);
CREATE UNIQUE INDEX sessions_open ON sessions (node) WHERE closed_at IS NULL;

-- What lists show. The order of the columns is that of the readers.
CREATE VIEW node_list AS
SELECT
    n.id, n.name, n.state, n.origin, n.created_at, n.revision, n.last_seen_at, n.address, n.version, n.os,
    (SELECT count(*) FROM mappings AS m WHERE m.node = n.id) AS mappings,
    EXISTS (SELECT 1 FROM sessions AS s WHERE s.node = n.id AND s.closed_at IS NULL) AS online
FROM nodes AS n;

CREATE VIEW mapping_list AS
SELECT
    m.id, n.name AS node_name, m.node, m.kind, m.name,
    m.listen_domain, m.listen_address, m.forward_domain, m.forward_address,
    m.enabled, m.origin, m.revision, m.created_at,
    n.state AS node_state, s.state AS observed, s.bound_address, s.detail, s.applied_revision,
    m.listen_port
FROM mappings AS m
JOIN nodes AS n ON n.id = m.node
LEFT JOIN mapping_states AS s ON s.mapping = m.id;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    uid INTEGER,
    action TEXT NOT NULL,
    -- Copies, not references: the audit outlives what it speaks of.
    node TEXT,
    node_name TEXT,
    mapping INTEGER,
    -- The record as JSON before and after; never a secret.
    before TEXT,
    after TEXT,
    detail TEXT
) STRICT;

CREATE INDEX audit_by_time ON audit (at, id);
CREATE INDEX audit_by_node ON audit (node, id);

CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit rows are never deleted');
END;

CREATE TRIGGER audit_is_final BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit rows are never changed');
END;
