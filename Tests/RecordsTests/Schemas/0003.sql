-- The database as schema 3 made it: a dump of its statements and a few rows. Never changed once released.
PRAGMA application_id = 1735356536;
PRAGMA user_version = 3;

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
, last_seen_within INTEGER) STRICT, WITHOUT ROWID;

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
, last_used_at INTEGER) STRICT, WITHOUT ROWID;

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
, instance BLOB) STRICT;

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
, chain INTEGER) STRICT;

CREATE TABLE routes (
    id INTEGER PRIMARY KEY NOT NULL,
    node TEXT NOT NULL,
    node_name TEXT NOT NULL,
    -- Of the credential that the node had logged in with.
    identity BLOB NOT NULL,
    mapping INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('listener', 'peer-listener')),
    mapping_name TEXT,
    listen TEXT NOT NULL,
    target TEXT NOT NULL,
    chain INTEGER NOT NULL
) STRICT;

CREATE TABLE opened (
    -- The connection's: ascending, with holes where an opening could not be recorded and was refused.
    id INTEGER PRIMARY KEY NOT NULL,
    route INTEGER NOT NULL,
    at INTEGER NOT NULL,
    -- Microseconds since the machine's start, which the latest note 'start' names.
    monotonic INTEGER NOT NULL,
    -- 4 bytes, 16 bytes, or none for a Unix socket.
    client BLOB NOT NULL CHECK (length(client) IN (0, 4, 16)),
    client_port INTEGER NOT NULL,
    chain INTEGER NOT NULL
) STRICT;

CREATE TABLE closed (
    id INTEGER PRIMARY KEY NOT NULL,
    connection INTEGER NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    -- Microseconds by the monotonic clock.
    duration INTEGER NOT NULL,
    -- Bytes from the client to the target and back, as this server counted them, and as the node did (NULL: it did not say).
    up INTEGER NOT NULL,
    down INTEGER NOT NULL,
    node_up INTEGER,
    node_down INTEGER,
    reason TEXT NOT NULL,
    -- 1: recovered after a crash. 2: the node's counts differ. 4: bytes passed before the opening was on disk.
    flags INTEGER NOT NULL,
    chain INTEGER NOT NULL
) STRICT;

CREATE TABLE notes (
    id INTEGER PRIMARY KEY NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('start', 'stop', 'gap', 'refusals', 'pruned', 'carried')),
    from_at INTEGER,
    to_at INTEGER,
    connection INTEGER,
    count INTEGER,
    -- The cause of a gap or of refusals; else JSON.
    detail TEXT,
    chain INTEGER NOT NULL
) STRICT;

CREATE TABLE chain_heads (
    name TEXT PRIMARY KEY NOT NULL CHECK (name IN ('routes', 'opened', 'closed', 'notes', 'audit')),
    id INTEGER NOT NULL,
    head BLOB NOT NULL CHECK (length(head) = 32)
) STRICT, WITHOUT ROWID;

CREATE TABLE seals (
    id INTEGER PRIMARY KEY NOT NULL,
    at INTEGER NOT NULL,
    routes_id INTEGER NOT NULL,
    routes_head BLOB NOT NULL,
    opened_id INTEGER NOT NULL,
    opened_head BLOB NOT NULL,
    closed_id INTEGER NOT NULL,
    closed_head BLOB NOT NULL,
    notes_id INTEGER NOT NULL,
    notes_head BLOB NOT NULL,
    audit_id INTEGER NOT NULL,
    audit_head BLOB NOT NULL,
    mac BLOB NOT NULL CHECK (length(mac) = 32),
    -- When the connections before it were pruned.
    pruned_at INTEGER
) STRICT;

CREATE TABLE holds (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    since INTEGER NOT NULL,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    released_at INTEGER
) STRICT;

CREATE TABLE ended_credentials (
    identity BLOB PRIMARY KEY NOT NULL CHECK (length(identity) = 16),
    node TEXT NOT NULL,
    node_name TEXT NOT NULL,
    ended_at INTEGER NOT NULL,
    reason TEXT NOT NULL CHECK (reason IN ('expired', 'rotated', 'node-removed', 'flags', 'sealed-elsewhere', 'restored'))
) STRICT, WITHOUT ROWID;

CREATE TABLE facts (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX node_tags_by_value ON node_tags (key, value);

CREATE INDEX credentials_by_node ON credentials (node);

CREATE INDEX listeners_by_port ON mappings (listen_port) WHERE kind = 'listener';

CREATE INDEX sessions_by_node ON sessions (node, id);

CREATE UNIQUE INDEX sessions_open ON sessions (node) WHERE closed_at IS NULL;

CREATE INDEX audit_by_time ON audit (at, id);

CREATE INDEX audit_by_node ON audit (node, id);

CREATE INDEX routes_by_node ON routes (node_name);

CREATE INDEX opened_by_route ON opened (route);

CREATE INDEX opened_by_client ON opened (client);

CREATE INDEX notes_by_kind ON notes (kind, at);

CREATE INDEX ended_credentials_by_time ON ended_credentials (ended_at);

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

CREATE VIEW history AS
SELECT
    o.id, o.at AS opened_at, c.at AS closed_at, c.duration,
    r.node, r.node_name, r.identity, r.mapping, r.mapping_name, r.kind, r.listen, r.target,
    o.client, o.client_port,
    c.up, c.down, c.node_up, c.node_down, c.reason, c.flags
FROM opened AS o
JOIN routes AS r ON r.id = o.route
LEFT JOIN closed AS c ON c.connection = o.id;

CREATE VIEW node_list AS
SELECT
    n.id, n.name, n.state, n.origin, n.created_at, n.revision, n.last_seen_at, n.address, n.version, n.os,
    (SELECT count(*) FROM mappings AS m WHERE m.node = n.id) AS mappings,
    EXISTS (SELECT 1 FROM sessions AS s WHERE s.node = n.id AND s.closed_at IS NULL) AS online,
    n.last_seen_within,
    (SELECT s.identity FROM sessions AS s WHERE s.node = n.id ORDER BY s.id DESC LIMIT 1) AS identity
FROM nodes AS n;

CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit rows are never deleted');
END;

CREATE TRIGGER audit_is_final BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit rows are never changed');
END;

CREATE TRIGGER routes_are_final BEFORE UPDATE ON routes
BEGIN
    SELECT RAISE(ABORT, 'the history is never changed');
END;

CREATE TRIGGER opened_is_final BEFORE UPDATE ON opened
BEGIN
    SELECT RAISE(ABORT, 'the history is never changed');
END;

CREATE TRIGGER closed_is_final BEFORE UPDATE ON closed
BEGIN
    SELECT RAISE(ABORT, 'the history is never changed');
END;

CREATE TRIGGER notes_are_final BEFORE UPDATE ON notes
BEGIN
    SELECT RAISE(ABORT, 'the history is never changed');
END;
INSERT INTO migrations VALUES (1, 'fleet', 'ea4857f7660b14da', 1787390043123456);
INSERT INTO migrations VALUES (2, 'history', '40d53b4539b88253', 1787390043123456);
INSERT INTO migrations VALUES (3, 'credentials', 'e9e19f0cbe722502', 1787390043123456);
INSERT INTO nodes VALUES ('5f0c2b1a-0102-0304-0506-0708090a0b0c', 'edge-07', 'enabled', 'operator', 2, 1787390043123456, 1787390099000000,
    '192.0.2.7:51514', '1.0.0', 'Debian 12', NULL);
INSERT INTO node_tags VALUES ('5f0c2b1a-0102-0304-0506-0708090a0b0c', 'site', 'paris');
INSERT INTO credentials VALUES (x'5f0c2b1a0102030405060708090a0b0c', '5f0c2b1a-0102-0304-0506-0708090a0b0c', zeroblob(32), zeroblob(60),
    1787390043123456, NULL, 0, 'operator', 1787390099000000);
INSERT INTO mappings VALUES (1, '5f0c2b1a-0102-0304-0506-0708090a0b0c', 'listener', 'rdp', 'tcp', '0.0.0.0:13389', 13389, 'tcp', '127.0.0.1:3389', 1,
    'operator', 1, 1787390043123456);
INSERT INTO mappings VALUES (2, '5f0c2b1a-0102-0304-0506-0708090a0b0c', 'peer-listener', NULL, 'tcp', '127.0.0.1:1080', 1080, 'tcp', '10.0.0.5:80', 0,
    'operator', 2, 1787390043123456);
INSERT INTO mapping_states VALUES (1, 'active', '0.0.0.0:13389', NULL, 1, 1787390050000000);
INSERT INTO sessions VALUES (1, '5f0c2b1a-0102-0304-0506-0708090a0b0c', 'edge-07', x'5f0c2b1a0102030405060708090a0b0c', '192.0.2.7:51514', '1.0.0',
    'Debian 12', 1787390045000000, 1787390099000000, 'link-lost', 3, x'0102030405060708');
INSERT INTO audit VALUES (1, 1787390043123456, 'alice', 1000, 'node-add', '5f0c2b1a-0102-0304-0506-0708090a0b0c', 'edge-07', NULL, NULL, '{}', NULL, NULL);
INSERT INTO routes VALUES (1, '5f0c2b1a-0102-0304-0506-0708090a0b0c', 'edge-07', x'5f0c2b1a0102030405060708090a0b0c', 1, 'listener', 'rdp', 'tcp 0.0.0.0:13389', 'tcp 127.0.0.1:3389', 5444370018958540219);
INSERT INTO opened VALUES (1, 1, 1787390050000000, 5000000, x'cb007109', 51514, -6608615914788202027);
INSERT INTO opened VALUES (2, 1, 1787390051000000, 6000000, x'20010db8000000000000000000000001', 40000, -6522405829703155017);
INSERT INTO opened VALUES (3, 1, 1787390052000000, 7000000, x'', 0, -479633665723215330);
INSERT INTO closed VALUES (1, 1, 1787390053000000, 3000000, 1200, 48100, 1200, 48100, 'client-eof', 0, -8728744263839779822);
INSERT INTO closed VALUES (2, 2, 1787390054000000, 3000000, 5, 6, NULL, NULL, 'link-lost', 0, 4421156808597180268);
INSERT INTO notes VALUES (1, 1787390049999999, 'start', NULL, NULL, 0, NULL, '{"boot":"b","monotonic":4999999,"version":"1.0.0"}', -8171246819011302377);
INSERT INTO notes VALUES (2, 1787390055000000, 'refusals', 1787390040000000, 1787390100000000, NULL, 12, 'wrong-credential', -3347734122011368928);
INSERT INTO chain_heads VALUES ('closed', 2, x'3d5b1ab170bc0f6cc3075e44d58e9989efe2b3ba7b9caa535d2029bb7c734036');
INSERT INTO chain_heads VALUES ('notes', 2, x'd18a758d970ee220fcba91df1aab977f74abbd8d25be0aa1a4bb27fcaad87a59');
INSERT INTO chain_heads VALUES ('opened', 3, x'f957ffb8e43fd21e6e12b89c356d12bb763614bd4cdd78890b1e2634150a2516');
INSERT INTO chain_heads VALUES ('routes', 1, x'4b8e49afcdcf7dbb5a187d7b0ea5dbddb976ec84224e199913352188d33ff0bb');
INSERT INTO holds VALUES (1, 1787390050000000, 1787390050000000, 'case 7', 'alice', NULL);
INSERT INTO ended_credentials VALUES (x'00112233445566778899aabbccddeeff', '5f0c2b1a-0102-0304-0506-0708090a0b0c', 'edge-07', 1787390044000000, 'rotated');
INSERT INTO facts VALUES ('public-address', 'vpn.example.com:4443');
