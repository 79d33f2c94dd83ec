"""Attacks on the schema, the indexes and the files themselves; see tamper.py."""
import hashlib, os, struct


class FileAttacks:
    def objects(self):
        """The schema itself."""
        attacks = [
            "DROP VIEW history; CREATE VIEW history AS SELECT 1 AS id FROM opened",
            "DROP VIEW node_list; CREATE VIEW node_list AS SELECT 'x' AS id",
            "CREATE VIEW more AS SELECT * FROM opened",
            "CREATE TRIGGER hides AFTER INSERT ON closed BEGIN DELETE FROM opened WHERE id = new.connection; END",
            "CREATE TRIGGER forges AFTER INSERT ON notes BEGIN UPDATE nodes SET name = 'x'; END",
            "DROP INDEX opened_by_route",
            "DROP INDEX opened_by_client; CREATE INDEX opened_by_client ON opened (client) WHERE id % 2 = 0",
            "DROP INDEX routes_by_node; CREATE INDEX routes_by_node ON routes (node_name COLLATE NOCASE)",
            "DROP INDEX notes_by_kind; CREATE INDEX notes_by_kind ON notes (kind, at) WHERE kind <> 'gap'",
            "CREATE INDEX more ON audit (actor)",
            "ALTER TABLE routes ADD COLUMN more TEXT AS (node_name || 'x')",
            "ALTER TABLE closed ADD COLUMN more INTEGER DEFAULT 7",
            "ANALYZE",
            "CREATE TABLE more (x)",
        ]
        self.say(attack := self.random.choice(attacks))
        self.database.executescript(attack)

    def words(self):
        """The schema's text, with the content as it is."""
        attacks = [
            ("routes", "node_name TEXT NOT NULL", "node_name TEXT NOT NULL COLLATE NOCASE"),
            ("closed", "up INTEGER NOT NULL", "down INTEGER NOT NULL,up INTEGER NOT NULL /*"),
            ("opened", ") STRICT", ")"),
            ("closed", "UNIQUE", ""),
            ("audit", "actor TEXT NOT NULL", "actor TEXT NOT NULL DEFAULT 'nobody'"),
            ("opened_by_route", "(route)", "(route) WHERE id < 5"),
            ("opened_by_client", "(client)", "(client DESC)"),
            ("routes", "CREATE TABLE routes", "CREATE TABLE routes /* x */"),
            ("history", "o.at AS opened_at", "0 AS opened_at"),
        ]
        name, old, new = self.random.choice(attacks)
        if "/*" in new and name == "closed":
            new = "down INTEGER NOT NULL, up INTEGER NOT NULL"
        self.say("text", name, old, new)
        self.rewrite(name, old, new)

    def index(self):
        """An index that has less than its table, or other rows, under its own text."""
        name, column, table = self.random.choice([
            ("opened_by_route", "route", "opened"), ("opened_by_client", "client", "opened"),
            ("routes_by_node", "node_name", "routes"), ("audit_by_node", "node, id", "audit"),
            ("audit_by_time", "at, id", "audit"), ("notes_by_kind", "kind, at", "notes")])
        other = self.random.choice([
            f"({column}) WHERE id % 2 = 0", f"({column}) WHERE id < 4", f"({column.split(',')[0]} DESC)",
            "(chain)" if "," not in column else f"({column})"])
        self.run(f"DROP INDEX {name}")
        self.run(f"CREATE INDEX {name} ON {table} {other}")
        sql = next(sql for _, sql in self.schema if sql and sql.startswith(f"CREATE INDEX {name} "))
        self.run("PRAGMA writable_schema = ON")
        self.run("UPDATE sqlite_schema SET sql = ? WHERE name = ?", sql, name)
        self.reopen()
        self.say("index", name, other)

    def roots(self):
        """Two indexes, or tables, exchange their trees."""
        names = self.random.choice([("opened_by_route", "opened_by_client"), ("audit_by_time", "audit_by_node"),
                                    ("audit", "notes"), ("opened", "closed"), ("history", "node_list")])
        pages = dict(self.run("SELECT name, rootpage FROM sqlite_schema WHERE name IN (?, ?)", *names))
        self.run("PRAGMA writable_schema = ON")
        for one, two in (names, names[::-1]):
            self.run("UPDATE sqlite_schema SET rootpage = ? WHERE name = ?", pages[two], one)
        self.say("roots", names)
        self.reopen()

    def pages(self):
        """Bytes of the file."""
        self.close()
        size = os.path.getsize(self.path)
        with open(self.path, "r+b") as file:
            for _ in range(self.random.randrange(1, 4)):
                place = self.random.randrange(100, size)
                file.seek(place)
                old = file.read(1)[0]
                file.seek(place)
                file.write(bytes([old ^ 1 << self.random.randrange(8)]))
                self.say("byte", place)
        self.database = None

    def journal(self):
        self.close()
        with open(self.path + "-journal", "wb") as file:
            file.write(bytes.fromhex("d9d505f920a163d7") + self.random.randbytes(4_096))
        self.say("a rollback journal")
        self.database = None

    def holds(self):
        attack = self.random.choice([
            "DELETE FROM holds", "UPDATE holds SET since = since + 1000000", "UPDATE holds SET released_at = at",
            "UPDATE holds SET reason = 'none'", "INSERT INTO holds VALUES (9, 1, 1, 'x', 'y', NULL)"])
        self.run(attack)
        self.say(attack)

    def nodes(self):
        attack = self.random.choice([
            "UPDATE nodes SET name = name || '-x'", "DELETE FROM nodes",
            "INSERT INTO nodes SELECT 'f' || substr(id, 2), 'other', state, origin, 0, 0, NULL, NULL, NULL, NULL FROM nodes LIMIT 1"])
        self.run("PRAGMA foreign_keys = OFF")
        self.run(attack)
        self.say(attack)

    def openings(self):
        """Openings in the journal of a server that has ended."""
        mark = self.run("SELECT id, chain FROM notes WHERE kind = 'start' ORDER BY id DESC LIMIT 1").fetchone()
        row = self.row("opened")
        if not mark or not row:
            return
        last = self.run("SELECT max(id) FROM opened").fetchone()[0]
        body = b"".join(
            struct.pack(">qqqq", last + place, row[1], row[2], row[3]) + bytes([203, 0, 113, 9]) + bytes(12)
            + struct.pack(">Q", 4 << 16 | 51_514) for place in range(1, self.random.randrange(2, 5)))
        head = struct.pack(">Qqq", len(body) // 56, *mark)
        block = b"gopxopen" + head + hashlib.sha256(head + body).digest() + body
        with open(os.path.join(self.directory, "openings.journal"), "wb") as file:
            file.write(block.ljust(4_096, b"\0") + bytes(511 * 4_096))
        self.starts = True
        self.say("openings in the journal")

    def slots(self):
        path = os.path.join(self.directory, "connections.slots")
        data = bytearray(open(path, "rb").read() if os.path.exists(path) else bytes(4_096))
        last = self.run("SELECT max(id) FROM opened").fetchone()[0] or 1
        data = data.ljust(8_192, b"\0")
        for place in range(4_096, 4_096 + 64 * 4, 64):
            data[place:place + 64] = struct.pack("<8Q", self.random.randrange(1, last + 3), 2**63, 48_000_000, 0, 1, 1, 1, 2)
        open(path, "wb").write(bytes(data))
        self.starts = True
        self.say("slots")
