"""Changes a data folder as somebody would who can write its files and knows Proof.md, but has no key.

Reads {"seed", "directory"} from standard input, a line of JSON each; answers what was done: {"what", "starts"}. `starts`: the change
shows once a server has started on the folder.
"""
import hashlib, json, os, random, shutil, sqlite3, struct, sys

sys.dont_write_bytecode = True
from fileattacks import FileAttacks  # noqa: E402

TABLES = ["routes", "opened", "closed", "notes", "audit"]
EDGES = [-1, 0, 1, -5, 2**31, 2**53, 2**62, 2**63 - 1, -2**63]


def row_bytes(row):
    data = b""
    for value in row:
        if value is None:
            data += b"\0"
        elif isinstance(value, int):
            data += b"\1" + struct.pack(">q", value)
        elif isinstance(value, str):
            value = value.encode("utf-8", "surrogateescape")
            data += b"\2" + struct.pack(">I", len(value)) + value
        elif isinstance(value, bytes):
            data += b"\3" + struct.pack(">I", len(value)) + value
        else:
            data += b"\xff"
    return data


class Tamper(FileAttacks):
    def __init__(self, seed, directory):
        self.random = random.Random(seed)
        self.directory = directory
        self.path = os.path.join(directory, "goproxy.db")
        self.what, self.starts, self.keeps_log = [], False, False
        self.open()
        self.schema = self.run("SELECT rowid, sql FROM sqlite_schema").fetchall()
        self.triggers = self.run("SELECT sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for (name,) in self.run("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            self.run(f"DROP TRIGGER {name}")

    def open(self):
        self.database = sqlite3.connect(self.path, isolation_level=None)
        self.database.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        self.database.execute("PRAGMA wal_autocheckpoint = 0")

    def run(self, sql, *values):
        return self.database.execute(sql, values)

    def say(self, *words):
        self.what.append(" ".join(str(word)[:80] for word in words))

    def reopen(self):
        self.database.close()
        self.open()

    def rewrite(self, name, old, new):
        """The text of a schema's object, past SQLite."""
        self.run("PRAGMA writable_schema = ON")
        count = self.run(
            "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE name = ?", old, new, name).rowcount
        self.run(f"PRAGMA schema_version = {self.run('PRAGMA schema_version').fetchone()[0] + 1}")
        self.reopen()
        return count

    # Choices

    def table(self):
        return self.random.choice(TABLES)

    def columns(self, table):
        return [row[1] for row in self.run(f"PRAGMA table_info({table})")]

    def row(self, table):
        rows = self.run(f"SELECT * FROM {table} ORDER BY id").fetchall()
        return list(self.random.choice(rows)) if rows else None

    def other(self, value):
        pick = self.random.randrange(6)
        if isinstance(value, int):
            return [value + 1, value - 1, self.random.choice(EDGES), value ^ 256, -value, value * 2 % 2**62][pick]
        if isinstance(value, str):
            return [value + "x", value[:-1], value + "\0", value.upper(), value + "\u0301", "edge-08"][pick]
        if isinstance(value, bytes):
            return [value[:-1], value + b"\0", bytes(len(value)), bytes(b ^ 1 for b in value), b"", b"\x7f\0\0\1"][pick]
        return self.random.choice([0, 1, "x", b"x"])

    # What somebody does who knows the chain

    def rechain(self, table):
        head = hashlib.sha256(b"goproxy chain 1 " + table.encode()).digest()
        last, heads = 0, {0: head}
        isolder = table == "audit"
        for row in self.run(f"SELECT * FROM {table} ORDER BY id").fetchall():
            if isolder and row[-1] is None:
                continue
            isolder = False
            head = hashlib.sha256(head + row_bytes(row[:-1])).digest()
            self.run(f"UPDATE OR IGNORE {table} SET chain = ? WHERE id = ?", struct.unpack(">q", head[:8])[0], row[0])
            last, heads[row[0]] = row[0], head
        self.run("INSERT OR REPLACE INTO chain_heads VALUES (?, ?, ?)", table, last, head)
        self.say("rechained", table)
        return heads

    def append_chain(self, table, values):
        """A row after the last, as a server would write it."""
        last, head = self.run("SELECT id, head FROM chain_heads WHERE name = ?", table).fetchone() or (
            0, hashlib.sha256(b"goproxy chain 1 " + table.encode()).digest())
        row = [last + 1] + values
        head = hashlib.sha256(head + row_bytes(row)).digest()
        marks = ", ".join("?" * (len(row) + 1))
        self.run(f"INSERT INTO {table} VALUES ({marks})", *row, struct.unpack(">q", head[:8])[0])
        self.run("INSERT OR REPLACE INTO chain_heads VALUES (?, ?, ?)", table, last + 1, head)
        return last + 1

    def maybe_rechain(self, table):
        if self.random.random() < 0.6:
            heads = self.rechain(table)
            if self.random.random() < 0.5:
                for id, head in heads.items():
                    self.run(f"UPDATE seals SET {table}_head = ? WHERE {table}_id = ?", head, id)
                if self.random.random() < 0.5:
                    self.run("UPDATE seals SET mac = randomblob(32)")
                self.say("resealed")

    # Attacks

    def change(self):
        table = self.table()
        row = self.row(table)
        if not row:
            return
        names = self.columns(table)
        place = self.random.randrange(len(names))
        value = self.other(row[place])
        self.say("change", table, row[0], names[place], repr(row[place]), "to", repr(value))
        self.run(f'UPDATE {table} SET "{names[place]}" = ? WHERE id = ?', value, row[0])
        self.maybe_rechain(table)

    def loosely(self):
        """A value of another type, which STRICT would refuse."""
        table = self.table()
        row = self.row(table)
        if not row:
            return
        names = self.columns(table)
        name = self.random.choice(names[1:])
        self.rewrite(table, ") STRICT", ")")
        kind = self.random.choice(["BLOB", "TEXT", "REAL"])
        self.say("cast", table, row[0], name, kind)
        if self.random.random() < 0.5:
            self.run(f'UPDATE {table} SET "{name}" = CAST("{name}" AS {kind}) WHERE id = ?', row[0])
        else:
            self.run(f'UPDATE {table} SET "{name}" = ? WHERE id = ?', 1.5, row[0])
        self.maybe_rechain(table)
        self.restore(table)

    def restore(self, name):
        self.run("PRAGMA writable_schema = ON")
        for rowid, sql in self.schema:
            self.run("UPDATE sqlite_schema SET sql = ? WHERE rowid = ? AND name = ?", sql, rowid, name)
        self.run(f"PRAGMA schema_version = {self.run('PRAGMA schema_version').fetchone()[0] + 1}")
        self.reopen()

    def insert(self):
        table = self.table()
        row = self.row(table)
        if not row:
            return
        last = self.run(f"SELECT max(id) FROM {table}").fetchone()[0]
        row[0] = self.random.choice([-1, 0, -2**63, last + 1, last + 1, last + 1, last + 7, 2**62, self.random.randrange(1, last + 2)])
        if table == "closed":
            row[1] = self.random.choice([row[1], row[0], last + 1, -1])
        if self.random.random() < 0.5 and table != "closed":
            place = self.random.randrange(1, len(row) - 1)
            row[place] = self.other(row[place])
        if table == "audit" and self.random.random() < 0.3:
            row[-1] = None
        self.say("insert", table, row)
        self.run(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", *row)
        self.maybe_rechain(table)

    def delete(self):
        table = self.table()
        row = self.row(table)
        if not row:
            return
        side = self.random.choice(["=", ">=", "<="])
        self.say("delete", table, side, row[0])
        self.run(f"DELETE FROM {table} WHERE id {side} ?", row[0])
        self.maybe_rechain(table)

    def swap(self):
        table = self.table()
        one, two = self.row(table), self.row(table)
        if not one or one[0] == two[0]:
            return
        self.say("swap", table, one[0], two[0])
        for before, after in ((one[0], 2**61), (two[0], one[0]), (2**61, two[0])):
            self.run(f"UPDATE {table} SET id = ? WHERE id = ?", after, before)
        self.maybe_rechain(table)

    def duplicate(self):
        """A second closing of a connection, which UNIQUE would refuse."""
        row = self.row("closed")
        if not row:
            return
        self.rewrite("closed", "connection INTEGER NOT NULL UNIQUE", "connection INTEGER NOT NULL")
        self.run("PRAGMA writable_schema = ON")
        self.run("DELETE FROM sqlite_schema WHERE name = 'sqlite_autoindex_closed_1'")
        self.reopen()
        row[0] = self.random.choice([self.run("SELECT max(id) + 1 FROM closed").fetchone()[0], -3])
        row[5] += 48_000_000
        self.say("duplicate", row)
        self.run(f"INSERT INTO closed VALUES ({', '.join('?' * len(row))})", *row)
        self.maybe_rechain("closed")

    def forge_pruning(self):
        """A pruning that nobody ordered, with all that belongs to it but a seal."""
        seals = self.run("SELECT id, opened_id, closed_id FROM seals ORDER BY id").fetchall()
        if not seals:
            return
        seal, opened, closed = self.random.choice(seals)
        stay = self.run(
            "SELECT * FROM opened AS o WHERE id <= ? AND NOT EXISTS (SELECT 1 FROM closed AS c"
            " WHERE c.connection = o.id AND c.id <= ?) ORDER BY id", opened, closed).fetchall()
        digest = b""
        isnew = self.random.random() < 0.7
        at = self.run("SELECT max(at) + 1 FROM audit").fetchone()[0] or 1
        for row in stay:
            hash = hashlib.sha256(row_bytes(row[:-1])).digest()
            digest += struct.pack(">q", row[0]) + hash
            if not self.run("SELECT 1 FROM notes WHERE kind = 'carried' AND connection = ?", row[0]).fetchone():
                self.append_chain("notes", [at, "carried", None, None, row[0], None, hash.hex()])
        note = {"after": 0, "carried": len(stay) if isnew else 0, "closed": 0, "opened": 0, "phase": "begun", "seal": seal,
                "digest": hashlib.sha256(digest).hexdigest() if isnew else ""}
        self.append_chain("notes", [at, "pruned", None, None, None, None, self.json(note)])
        if isnew:
            self.append_audit(at, "history-prune-begin", f"up to seal {seal}: {len(stay)} openings stay")
        self.run("UPDATE seals SET pruned_at = ? WHERE id = ?", at, seal)
        if self.random.random() < 0.3:
            self.forge_seal()
        if self.random.random() < 0.7:
            note.update(phase="done", carried=len(stay), digest=hashlib.sha256(digest).hexdigest(), opened=3, closed=3)
            self.append_chain("notes", [at, "pruned", None, None, None, 3, self.json(note)])
            self.append_audit(at, "history-prune", f"up to seal {seal}: 3 openings and 3 closings deleted, {len(stay)} openings carried")
        self.run("DELETE FROM opened WHERE id <= ? AND EXISTS (SELECT 1 FROM closed AS c WHERE c.connection = opened.id"
                 " AND c.id <= ?)", opened, closed)
        self.run("DELETE FROM closed WHERE id <= ?", closed)
        self.say("forged pruning up to", seal, "of", len(seals), note)

    @staticmethod
    def json(note):
        return json.dumps(note, sort_keys=True, separators=(",", ":"))

    def append_audit(self, at, action, detail):
        self.append_chain("audit", [at, "server", None, action, None, None, None, None, None, detail])

    def forge_seal(self):
        last = self.run("SELECT max(id) FROM seals").fetchone()[0] or 0
        row = [last + 1, 1_787_400_000_000_000]
        for table in TABLES:
            row += self.run("SELECT id, head FROM chain_heads WHERE name = ?", table).fetchone() or [0, bytes(32)]
        self.run(f"INSERT INTO seals VALUES ({', '.join('?' * 14)})", *row, os.urandom(32), None)
        self.say("forged seal", last + 1)

    def append(self):
        """Rows that no seal holds, as a server would write them."""
        at = self.run("SELECT max(at) + 1 FROM audit").fetchone()[0] or 1
        kind = self.random.randrange(4)
        if kind == 0:
            self.append_audit(at, "node-add", "forged")
        elif kind == 1:
            row = self.row("opened")
            if row:
                self.append_chain("opened", row[1:-1])
        elif kind == 2:
            self.append_chain("notes", [at, "gap", at - 5, at, None, None, self.random.choice(["server-stop", "restored"])])
        else:
            self.append_chain("notes", [at, "refusals", at - 5, at, None, self.random.choice([3, -3]), "limit"])
        self.say("appended", kind)

    def seals(self):
        rows = self.run("SELECT id FROM seals").fetchall()
        if not rows:
            return
        (id,) = self.random.choice(rows)
        names = self.columns("seals")
        kind = self.random.randrange(5)
        name = self.random.choice(names)
        if kind == 0:
            self.run("DELETE FROM seals WHERE id = ?", id)
        elif kind == 1:
            self.run("DELETE FROM seals WHERE id >= ?", id)
        elif kind == 2:
            self.forge_seal()
        else:
            value = self.other(self.run(f'SELECT "{name}" FROM seals WHERE id = ?', id).fetchone()[0])
            self.run(f'UPDATE seals SET "{name}" = ? WHERE id = ?', value, id)
        self.say("seals", kind, id, name)

    def heads(self):
        table = self.table()
        if self.random.random() < 0.5:
            self.run("UPDATE chain_heads SET id = id + 1 WHERE name = ?", table)
        else:
            self.run("DELETE FROM chain_heads WHERE name = ?", table)
        self.say("heads of", table)

    def cut(self):
        for table in self.random.sample(TABLES, self.random.randrange(1, 5)):
            row = self.row(table)
            if row:
                self.run(f"DELETE FROM {table} WHERE id > ?", row[0])
                self.rechain(table)
                self.run(f"DELETE FROM seals WHERE {table}_id > ?", row[0])
        self.say("cut off")

    # The end

    def close(self):
        """With its triggers as they were, and maybe with all that was done in the log alone."""
        if self.database is None:
            return
        for (sql,) in self.triggers:
            try:
                self.run(sql)
            except sqlite3.Error as error:
                self.say("trigger:", error)
        if self.keeps_log:
            for suffix in ("", "-wal"):
                shutil.copyfile(self.path + suffix, self.path + suffix + ".kept")
        self.database.close()
        if self.keeps_log:
            for suffix in ("", "-wal"):
                os.replace(self.path + suffix + ".kept", self.path + suffix)
            self.say("in the log")
        self.database = None

    def all(self):
        attacks = [
            (self.change, 8), (self.insert, 8), (self.delete, 5), (self.swap, 4), (self.loosely, 4), (self.duplicate, 2),
            (self.forge_pruning, 5), (self.append, 3), (self.seals, 4), (self.heads, 1), (self.cut, 3), (self.objects, 4),
            (self.words, 4), (self.index, 4), (self.roots, 1), (self.pages, 4), (self.journal, 1), (self.holds, 1),
            (self.nodes, 1), (self.openings, 1), (self.slots, 1)]
        self.keeps_log = self.random.random() < 0.3
        for _ in range(self.random.choice([1, 1, 1, 2, 3])):
            if self.database is None or self.starts:
                break
            attack = self.random.choices([a for a, _ in attacks], [w for _, w in attacks])[0]
            try:
                attack()
            except (sqlite3.Error, OverflowError, TypeError) as error:
                self.say("refused:", error)
        try:
            self.close()
        except (sqlite3.Error, OSError) as error:
            self.say("close:", error)


for line in sys.stdin:
    question = json.loads(line)
    tamper = Tamper(question["seed"], question["directory"])
    tamper.all()
    print(json.dumps({"what": "; ".join(tamper.what), "starts": tamper.starts}), flush=True)
