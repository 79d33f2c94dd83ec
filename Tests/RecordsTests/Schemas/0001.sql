-- The database as schema 1 made it: a dump of its statements and a few rows. Never changed once released.
PRAGMA application_id = 1735356536;
PRAGMA user_version = 1;

CREATE TABLE migrations (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;

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

CREATE TABLE mapping_states (
    mapping INTEGER PRIMARY KEY REFERENCES mappings (id) ON DELETE CASCADE,
    state TEXT NOT NULL CHECK (state IN ('pending', 'active', 'failed')),
    bound_address TEXT,
    detail TEXT,
    -- The node's revision that the report answers.
    applied_revision INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;

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

CREATE INDEX node_tags_by_value ON node_tags (key, value);

CREATE INDEX credentials_by_node ON credentials (node);

CREATE INDEX listeners_by_port ON mappings (listen_port) WHERE kind = 'listener';

CREATE INDEX sessions_by_node ON sessions (node, id);

CREATE UNIQUE INDEX sessions_open ON sessions (node) WHERE closed_at IS NULL;

CREATE INDEX audit_by_time ON audit (at, id);

CREATE INDEX audit_by_node ON audit (node, id);

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

CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit rows are never deleted');
END;

CREATE TRIGGER audit_is_final BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit rows are never changed');
END;

INSERT INTO migrations VALUES (1, 'fleet', 'ea4857f7660b14da', 1787390043123456);
INSERT INTO nodes VALUES ('5f0c2b1a-0102-0304-0506-0708090a0b0c', 'edge-07', 'enabled', 'operator', 2, 1787390043123456, 1787390099000000,
    '192.0.2.7:51514', '1.0.0', 'Debian 12');
INSERT INTO node_tags VALUES ('5f0c2b1a-0102-0304-0506-0708090a0b0c', 'site', 'paris');
INSERT INTO credentials VALUES (x'5f0c2b1a0102030405060708090a0b0c', '5f0c2b1a-0102-0304-0506-0708090a0b0c', zeroblob(32), zeroblob(60),
    1787390043123456, NULL, 0, 'operator');
INSERT INTO mappings VALUES (1, '5f0c2b1a-0102-0304-0506-0708090a0b0c', 'listener', 'rdp', 'tcp', '0.0.0.0:13389', 13389, 'tcp', '127.0.0.1:3389', 1,
    'operator', 1, 1787390043123456);
INSERT INTO mappings VALUES (2, '5f0c2b1a-0102-0304-0506-0708090a0b0c', 'peer-listener', NULL, 'tcp', '127.0.0.1:1080', 1080, 'tcp', '10.0.0.5:80', 0,
    'operator', 2, 1787390043123456);
INSERT INTO mapping_states VALUES (1, 'active', '0.0.0.0:13389', NULL, 1, 1787390050000000);
INSERT INTO sessions VALUES (1, '5f0c2b1a-0102-0304-0506-0708090a0b0c', 'edge-07', x'5f0c2b1a0102030405060708090a0b0c', '192.0.2.7:51514', '1.0.0',
    'Debian 12', 1787390045000000, 1787390099000000, 'link-lost', 3);
INSERT INTO audit VALUES (1, 1787390043123456, 'alice', 1000, 'node-add', '5f0c2b1a-0102-0304-0506-0708090a0b0c', 'edge-07', NULL, NULL, '{}', NULL);
