-- The history: who connected to what, when, from where, how much. Rows are appended and never changed; whole sealed
-- stretches of it go when they are old. Times are microseconds since the epoch, UTC.
--
-- `chain` is the beginning of a hash over the row and, through it, over all rows of the table before it.

-- What connections of one node through one mapping have in common, as it was when they were made. Copies, not references:
-- the history outlives what it speaks of.
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

CREATE INDEX routes_by_node ON routes (node_name);

-- On disk before the connection's first byte is passed on.
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

CREATE INDEX opened_by_route ON opened (route);
CREATE INDEX opened_by_client ON opened (client);

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

-- What the history must say beside the connections: starts and stops, gaps, refusals by the minute, what was pruned.
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

CREATE INDEX notes_by_kind ON notes (kind, at);

-- NULL in rows that are older than the chain.
ALTER TABLE audit ADD COLUMN chain INTEGER;

-- The whole hash after the last row of each table.
CREATE TABLE chain_heads (
    name TEXT PRIMARY KEY NOT NULL CHECK (name IN ('routes', 'opened', 'closed', 'notes', 'audit')),
    id INTEGER NOT NULL,
    head BLOB NOT NULL CHECK (length(head) = 32)
) STRICT, WITHOUT ROWID;

-- Every minute in which something was written: where the chains stood, under a key that is erased afterwards.
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

-- Legal holds: nothing from `since` on is pruned while one is not released.
CREATE TABLE holds (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    since INTEGER NOT NULL,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    released_at INTEGER
) STRICT;

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

-- A connection in one row. The order of the columns is that of the readers.
CREATE VIEW history AS
SELECT
    o.id, o.at AS opened_at, c.at AS closed_at, c.duration,
    r.node, r.node_name, r.identity, r.mapping, r.mapping_name, r.kind, r.listen, r.target,
    o.client, o.client_port,
    c.up, c.down, c.node_up, c.node_down, c.reason, c.flags
FROM opened AS o
JOIN routes AS r ON r.id = o.route
LEFT JOIN closed AS c ON c.connection = o.id;
