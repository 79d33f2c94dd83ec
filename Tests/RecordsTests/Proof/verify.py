"""A second verifier of the history, written from Proof.md alone, with Python's standard library.
Reads questions from standard input, each a line of JSON: path, keys (hexadecimal), anchors (lines of a log), next (the number in
seal-now.key, or null), restored (seals). Answers each with a line of JSON: fault (text or null), unsealed, unchained, exposed.
"""
import contextlib, datetime, functools, hashlib, hmac, json, os, re, sqlite3, struct, sys

TABLES = ["routes", "opened", "closed", "notes", "audit"]
MIGRATIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../migrations")
OWN = "CREATE TABLE migrations (\n    number INTEGER PRIMARY KEY,\n    name TEXT NOT NULL,\n" \
      "    checksum TEXT NOT NULL,\n    applied_at INTEGER NOT NULL\n) STRICT"
def need(condition, *words):
    if not condition:
        raise ValueError(" ".join(str(word) for word in words))
def sha(data):
    return hashlib.sha256(data).digest()
def row_bytes(row):
    data = b""
    for value in row:
        if value is None:
            data += b"\0"
        elif isinstance(value, int):
            data += b"\1" + struct.pack(">q", value)
        elif isinstance(value, bytes):
            data += (b"\2" if isinstance(value, Text) else b"\3") + struct.pack(">I", len(value)) + value
        else:
            raise ValueError("a value of a type that no row has")
    return data
class Text(bytes):
    """TEXT as the file has it, told from a BLOB."""
def words(value):
    return None if value is None else value.decode("utf-8", "replace")
def first(table):
    return sha(b"goproxy chain 1 " + table.encode())
def connect(path, mode="ro"):
    database = sqlite3.connect(f"file:{path}?mode={mode}", uri=True, isolation_level=None)
    database.text_factory = Text
    return database
def schema_of(database):
    return sorted(
        tuple((type(v).__name__, bytes(v)) if isinstance(v, bytes) else repr(v) for v in row)
        for row in database.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema"))
@functools.cache
def wanted_schema(version):
    memory = connect("none", "memory")
    memory.executescript(OWN)
    for name in sorted(name for name in os.listdir(MIGRATIONS) if name.endswith(".sql"))[:version]:
        memory.executescript(open(os.path.join(MIGRATIONS, name), encoding="utf-8").read())
    return schema_of(memory)
class Verifier:
    def __init__(self, question):
        self.path = question["path"]
        self.keys = [bytes.fromhex(key) for key in question["keys"]]
        self.anchors = {}
        for line in question["anchors"]:
            parts = dict(part.split("=", 1) for part in line.split() if "=" in part)
            heads = [parts[table].split(":") for table in TABLES]
            self.anchors.setdefault(int(parts["seal"]), [(int(id), bytes.fromhex(head)) for id, head in heads])
        self.next = question["next"]
        self.restored = set(question["restored"])
        self.unsealed, self.unchained, self.exposed, self.older = 0, 0, 0, []
    def run(self):
        journal = self.path + "-journal"
        need(not os.path.exists(journal) or os.path.getsize(journal) == 0, "a rollback journal lies there")
        with contextlib.closing(connect(self.path)) as database:
            self.rows = lambda sql, *values: database.execute(sql, values)
            self.rows("BEGIN")
            self.check(schema_of(database))
    def check(self, schema):
        need(self.rows("PRAGMA application_id").fetchone()[0] == 0x676F7078, "another program's")
        version = self.rows("PRAGMA user_version").fetchone()[0]
        need(version > 1, "older than the chain")
        need(schema == wanted_schema(version), "schema")
        for check in ["quick_check(1)"] + [f"integrity_check({table})" for table in TABLES]:
            faults = [row[0] for row in self.rows(f"PRAGMA {check}")]
            need(faults == [b"ok"], "file", faults)
        self.seals = list(self.rows("SELECT * FROM seals ORDER BY id"))
        self.notes = self.walk("notes", True)
        self.audit = self.walk("audit", False)
        self.read_notes()
        self.read_audit()
        self.check_seals()
        self.routes = self.walk("routes", False)
        need(all(0 <= row[4] < 2**32 for row in self.routes), "a route's mapping")
        self.check_prunings()
        self.check_connections()
        self.check_rest()
    def walk(self, table, gapless, begin=(0, None, 1), behind=None):
        """The rows whose chain holds. Rows up to `begin` are given to `behind`."""
        place, head = begin[0], begin[1] or first(table)
        column = 2 + 2 * TABLES.index(table)
        points = [seal[column:column + 2] for seal in self.seals if seal[0] >= begin[2]][::-1]
        found, last = [], 0
        def meet():
            while points and points[-1][0] <= place:
                need(points.pop() == (place, head), table, place, "another than its seal says")
        meet()
        for row in self.rows(f"SELECT * FROM {table} NOT INDEXED ORDER BY id"):
            need(row[0] > last, table, row[0], "ids ascend from 1")
            last = row[0]
            if row[0] <= begin[0]:
                behind(row)
                continue
            if table == "audit" and row[-1] is None and not found:
                self.older.append(row)
                continue
            need(not gapless or row[0] == place + 1, table, place + 1, "is missing")
            following = sha(head + row_bytes(row[:-1]))
            need(row[-1] == struct.unpack(">q", following[:8])[0], table, row[0], "does not follow")
            self.unsealed += 0 if points else 1
            place, head = row[0], following
            meet()
            found.append(row)
        need(not points, table, "a row is missing that a seal tells of")
        end = self.rows("SELECT id, head FROM chain_heads WHERE name = ?", table).fetchone()
        need((end or (0, first(table))) == (place, head), table, "ends otherwise")
        return found
    def read_notes(self):
        self.prunings, self.carried, self.lives, self.replaced, self.format = [], {}, [], [], None
        for id, at, kind, _, _, connection, count, detail, _ in self.notes:
            kind, detail = words(kind), words(detail)
            if kind == "start":
                need(connection is not None and connection >= 0, "notes", id, "a start without a connection")
                self.lives.append((id, connection))
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    if json.loads(detail or "")["format"] >= 2 and self.format is None:
                        self.format = id
            elif kind == "stop" or kind == "gap" and detail == "restored":
                (self.lives if kind == "stop" else self.replaced).append((id, None if kind == "stop" else at))
            elif kind == "pruned":
                note = json.loads(detail or "")
                form = json.dumps(note, sort_keys=True, separators=(",", ":"))
                keys = sorted(note) == ["after", "carried", "closed", "digest", "opened", "phase", "seal"]
                need(keys and form == detail, "notes", id, "of a pruning cannot be read")
                self.prunings.append((id, at, note))
            elif kind == "carried":
                self.carried.setdefault(connection, detail)
            elif kind == "refusals":
                need(count is not None and count > 0, "notes", id, "counts nothing")
    def read_audit(self):
        self.told, self.holds, self.nodes, older = set(), {}, {}, None
        for row in self.older + self.audit:
            id, at, actor, _, action, node, _, mapping, before, after, detail, chain = row
            action, detail = words(action), words(detail)
            if mapping is None and node is not None and (before is not None or after is not None):
                self.nodes[words(node)] = after
            if chain is None:
                continue
            if action == "audit-before-chain" and older is None:
                older = detail or ""
            elif action == "found-unsealed":
                self.exposed += sum(int(word) for word in re.findall(r"\d+", detail or ""))
            elif action == "hold-add":
                need(detail not in self.holds, "audit", id, "adds a hold twice")
                self.holds[detail] = [at, actor, None]
            elif action == "hold-release":
                need(detail in self.holds and self.holds[detail][2] is None, "audit", id, "releases no hold")
                self.holds[detail][2] = at
            self.told.add((at, action, detail))
        if older is None:
            self.unchained = len(self.older)
        else:
            digest = sha(b"".join(row_bytes(row[:-1]) for row in self.older)).hex()
            need(older == f"{len(self.older)} rows, SHA-256 {digest}", "audit of before the chain")
    def check_seals(self):
        keys, key, counted, last = list(self.keys), None, 0, None
        ends, thinned = {}, max([note["seal"] for _, _, note in self.prunings if note["phase"] == "done"][-1:] or [0])
        for seal in self.seals:
            expected = last[0] + 1 if last else 1
            if expected < seal[0] <= thinned:
                for id in [id for id in self.anchors if expected <= id < seal[0]]:
                    self.check_thinned(id, self.anchors.pop(id))
            elif seal[0] != expected:
                low = last[8] if last else 0
                need(seal[0] > expected and any(low < id <= seal[8] for id, _ in self.replaced),
                     "seals", expected, "is missing")
                told = [id for id in self.anchors if expected <= id < seal[0]]
                need(not told or expected in self.restored, "seals", expected, "is missing, and anchors tell")
                self.anchors = {id: anchor for id, anchor in self.anchors.items() if id not in told}
            need(not last or all(seal[i] >= last[i] for i in range(2, 12, 2)), "seals", seal[0], "fell")
            while keys:
                if key is None:
                    key, counted = keys[0], 0
                while counted < seal[0]:
                    key, counted = hmac.new(key, b"next", hashlib.sha256).digest(), counted + 1
                if hmac.new(key, row_bytes(seal[:12]), hashlib.sha256).digest() == seal[12]:
                    break
                need(len(keys) > 1, "seals", seal[0], "was not made with the key")
                keys, key = keys[1:], None
            anchor = self.anchors.pop(seal[0], None)
            need(anchor in (None, [tuple(seal[i:i + 2]) for i in range(2, 12, 2)]), "seals", seal[0], "anchor")
            ends[seal[8]] = seal
            last = seal
        need(not self.anchors, "seals", "cut off: an anchor tells of one")
        need(self.next is None or (last[0] if last else 0) >= self.next - 1, "seals", "cut off: the key")
        self.last, self.ends = last, ends
        self.thinned_notes = max([seal[8] for seal in self.seals if seal[0] == thinned] or [0])
    def check_thinned(self, seal, anchor):
        for table in () if any(number <= seal for number in self.restored) else ("routes", "notes", "audit"):
            id, head = anchor[TABLES.index(table)]
            place, at = 0, first(table)
            for row in self.rows(f"SELECT * FROM {table} WHERE chain IS NOT NULL AND id <= ? ORDER BY id", id):
                place, at = row[0], sha(at + row_bytes(row[:-1]))
            need((place, at) == (id, head), table, id, "another than its anchor says")
    def check_prunings(self):
        begun = None
        for id, at, note in self.prunings:
            new = self.format is not None and id > self.format
            if note["phase"] == "begun":
                need(0 <= note["after"] < note["seal"], "notes", id, "prunes backwards")
                sealing = new or note["digest"] != ""
                held = id in self.ends or id <= self.thinned_notes if sealing else self.last and id <= self.last[8]
                need(held, "notes", id, "a pruning that no seal of its own holds")
                row = f"up to seal {note['seal']}: {note['carried']} openings stay"
                need(not sealing or (at, "history-prune-begin", row) in self.told, "notes", id, "no audit row")
                begun = note
            else:
                need(note["phase"] == "done" and begun, "notes", id, "ends nothing")
                same = ["seal", "after"] + (["carried", "digest"] if begun["digest"] else [])
                need(all(begun[name] == note[name] for name in same), "notes", id, "did not begin so")
                row = (f"up to seal {note['seal']}: {note['opened']} openings and {note['closed']} closings"
                       f" deleted, {note['carried']} openings carried")
                need(not (new or begun["digest"]) or (at, "history-prune", row) in self.told, "no audit row")
        marked = [seal[0] for seal in self.seals if seal[13] is not None]
        need({note["seal"] for _, _, note in self.prunings}.issuperset(marked), "seals", "marked, but not noted")
        self.pruning = self.prunings[-1][2] if self.prunings else None
        need(not self.pruning or self.pruning["seal"] in marked, "seals", "noted, but not marked")
        self.staying = begun if self.pruning and self.pruning["phase"] == "begun" else self.pruning
    def begin(self, table, seal):
        column = 2 + 2 * TABLES.index(table)
        row = next((row for row in self.seals if row[0] == seal), None)
        need(row or seal == 0, "seals", seal, "is missing")
        return (row[column], row[column + 1], seal) if row else (0, first(table), 1)
    def check_connections(self):
        note = self.pruning or {"seal": 0, "after": 0, "phase": "done"}
        ids, carried, leaving = set(), [], set()
        routes = {row[0] for row in self.routes}
        whole = {table: [*self.begin(table, note["after"])[:2], note["phase"] == "begun"]
                 for table in ("opened", "closed")}
        def is_leaving(table, row):
            after, head, holds = state = whole[table]
            if not holds or row[0] <= self.begin(table, note["after"])[0]:
                return False
            following = sha(head + row_bytes(row[:-1]))
            state[1], state[2] = following, row[-1] == struct.unpack(">q", following[:8])[0]
            return state[2]
        def opening(row):
            need(row[1] in routes, "opened", row[0], "came by no route")
            need(row[3] >= 0 and 0 <= row[5] < 65536, "opened", row[0], "numbers")
            ids.add(row[0])
        def behind_opened(row):
            leaves = is_leaving("opened", row)
            if row[0] in self.carried:
                carried.append((row[0], sha(row_bytes(row[:-1]))))
                need(carried[-1][1].hex() == self.carried[row[0]], "opened", row[0], "another than its note says")
            else:
                need(leaves, "opened", row[0], "lies behind the pruning")
            opening(row)
        def behind_closed(row):
            need(is_leaving("closed", row), "closed", row[0], "lies behind the pruning")
            leaving.add(row[1])
        for row in self.walk("opened", False, self.begin("opened", note["seal"]), behind_opened):
            opening(row)
        for row in self.walk("closed", True, self.begin("closed", note["seal"]), behind_closed):
            need(row[1] in ids, "closed", row[0], "was never opened")
            need(all(n is None or n >= 0 for n in row[3:8]), "closed", row[0], "counts less than nothing")
        if self.pruning and self.staying["digest"]:
            stay = [struct.pack(">q", id) + digest for id, digest in carried if id not in leaving]
            need(len(stay) == self.staying["carried"] and sha(b"".join(stay)).hex() == self.staying["digest"],
                 "opened", "others are there than stayed")
    def check_rest(self):
        times = {at for at, action, _ in self.told if action == "restore"}
        need(all(at in times for _, at in self.replaced), "notes", "a restored backup without a row")
        for (stop, none), (_, opened) in zip(self.lives, self.lives[1:]):
            if none is None and stop in self.ends and opened is not None:
                need(opened <= self.ends[stop][4], "opened", "stands between a stop and a start")
        for id, at, since, reason, actor, released in self.rows("SELECT * FROM holds ORDER BY id"):
            since = min(max(since, -62167219200000000), 253402300799999999)
            time = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=since)
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
            hold = f"hold {id}: nothing since {stamp} is pruned: {words(reason)}"
            need(self.holds.pop(hold, None) == [at, actor, released], "holds", id)
        need(not self.holds, "holds", "one is missing")
        known = {id: after for id, after in self.nodes.items() if after is not None}
        for id, name in self.rows("SELECT id, name FROM nodes NOT INDEXED"):
            need(self.nodes.get(words(id), b"") is not None, "nodes", words(id), "was removed")
            node = json.loads(known.pop(words(id), b"{}"))
            told = (node.get("id"), node.get("name"))
            need(None in told or told == (words(id), words(name)), "nodes", words(id))
        need(not known, "nodes", "one is missing")

for line in sys.stdin:
    verifier, fault = Verifier(json.loads(line)), None
    try:
        verifier.run()
    except Exception as error:  # Whatever cannot be read is not what was written.
        fault = f"{type(error).__name__}: {error}"
    print(json.dumps({"fault": fault, "unsealed": verifier.unsealed, "unchained": verifier.unchained,
                      "exposed": verifier.exposed}), flush=True)
