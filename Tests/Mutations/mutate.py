#!/usr/bin/env python3
"""Plants faults in the core, one at a time, and says which of them the tests catch.

    python3 Tests/Mutations/mutate.py --folder ../mutants --count 100 --seed 1

All faults are compiled once, into a copy of the tree, each behind a number; the environment's MUTANT switches one of them on.
Operators become operators of their own (so precedence stays), conditions, constants and calls are wrapped. What the
compiler refuses is left out. A fault is caught when a test fails, the run dies or it does not end. First come the suites
that name what the fault's file is named after, then the module's, then those of the floors above. The result is a table.

The whole takes an hour or two on two cores, in release mode less. --only 17,23 runs those again, --suites TunnelTests.ShareTests with these
alone; --build-only stops after the build.
"""
import argparse, collections, json, os, random, re, select, shutil, signal, subprocess, sys, time

CORE = ["Buffers", "Mux", "Reactor", "TLS", "Tunnel", "Fleet", "Records"]
# A module's own tests, then those above it, as regular expressions; what takes long is left to the end.
FLEET = r"FleetEndToEndTests\.(?!Crash|PowerCut|Scale|IOFault|ControlFuzz|LostDatabase)"
SUITES = {
    "Buffers": [["BuffersTests"], ["TunnelTests"]],
    "Mux": [[r"MuxTests\.(?!Simulation|Hostile)"], ["MuxTests"], ["TunnelTests"]],
    "Reactor": [["ReactorTests"], ["TunnelTests"], ["EndToEndTests"]],
    "TLS": [["TLSTests"], ["TunnelTests"], ["EndToEndTests"]],
    "Tunnel": [["TunnelTests"], ["EndToEndTests"]],
    "Fleet": [["AdminTests", "ControlTests"], [FLEET]],
    "Records": [[r"RecordsTests\.(?!Scale|Proof|Crash)"], [r"RecordsTests\.Proof"], ["ControlTests", "AdminTests"], [FLEET]],
}
# Fewer seeds and tamperings than a run of their own has.
QUICK = {"GOPROXY_TAMPERINGS": "150", "GOPROXY_KILLS": "20", "SWIFT_BACKTRACE": "enable=no"}
# What no test can see: text for people, memory given back, tuning of speed alone.
SKIPPED_LINES = re.compile(r"^\s*(Log\.|case |precondition|assert|@|import |#|package init|return Log)|description|fatalError")
OPPOSITES = {
    " < ": (" <= ", "Comparable", "Bool", "ComparisonPrecedence"),
    " <= ": (" < ", "Comparable", "Bool", "ComparisonPrecedence"),
    " > ": (" >= ", "Comparable", "Bool", "ComparisonPrecedence"),
    " >= ": (" > ", "Comparable", "Bool", "ComparisonPrecedence"),
    " == ": (" != ", "Equatable", "Bool", "ComparisonPrecedence"),
    " != ": (" == ", "Equatable", "Bool", "ComparisonPrecedence"),
    " + ": (" - ", "AdditiveArithmetic", "T", "AdditionPrecedence"),
    " - ": (" + ", "AdditiveArithmetic", "T", "AdditionPrecedence"),
    " && ": (" || ", None, "Bool", "LogicalConjunctionPrecedence"),
    " || ": (" && ", None, "Bool", "LogicalDisjunctionPrecedence"),
}
SUPPORT = """
import Glibc

/// Which fault is on.
public enum Mutants {
    public static let active: Int = getenv("MUTANT").flatMap { Int(String(cString: $0)) } ?? 0
    public static func keeps(_ number: Int) -> Bool { active != number }
    public static func flip(_ number: Int, _ value: Bool) -> Bool { active == number ? !value : value }
    public static func pick<T>(_ number: Int, _ value: T, _ other: T) -> T { active == number ? other : value }
}
"""


class Mutant:
    def __init__(self, number, path, line, before, after, operator=None):
        self.number, self.path, self.line = number, path, line
        self.before, self.after, self.operator = before, after, operator
        self.status, self.by, self.seconds = "", "", 0.0

    @property
    def module(self):
        return self.path.split("/")[1]

    def __str__(self):
        return f"{self.number:4} {self.path}:{self.line}: {self.before.strip()}"


def code_ranges(line):
    """The parts of a line outside of strings and comments."""
    ranges, start, i, quoted = [], 0, 0, False
    while i < len(line):
        if line[i] == '"' and (i == 0 or line[i - 1] != "\\"):
            if not quoted:
                ranges.append((start, i))
            else:
                start = i + 1
            quoted = not quoted
        elif not quoted and line.startswith("//", i):
            break
        i += 1
    if not quoted:
        ranges.append((start, i))
    return ranges


def spelled(number):
    return "".join("^" if bit == "1" else "%" for bit in format(number, "b"))


def candidates(path, text):
    """(line number, kind, position or None) of each place where a fault can be planted."""
    lines = text.split("\n")
    for index, line in enumerate(lines):
        stripped = line.strip()
        if not stripped or stripped.startswith("//") or SKIPPED_LINES.search(line) or '"""' in line:
            continue
        for start, end in code_ranges(line):
            for operator in OPPOSITES:
                at = line.find(operator, start, end)
                if at >= 0 and " nil" not in line and "func " not in line and "extension" not in line:
                    yield index, "operator", (at, operator)
        before = lines[index - 1].rstrip() if index else ""
        after = lines[index + 1].strip() if index + 1 < len(lines) else ""
        if (re.fullmatch(r"(try )?[A-Za-z_][\w.?!\[\]]*\([^{}]*\)", stripped) and stripped.count("(") == stripped.count(")")
                and re.search(r"[{};)]$|^$", before) and not re.match(r"[.&|?:+-]", after)
                and not re.match(r"(try )?(super|self\.init|init|return|throw|if|guard|while|for|switch)\b", stripped)):
            yield index, "call", None
        if re.match(r"(guard|if) [^,{]+ (else )?\{", stripped) and not re.search(r"\b(let|var|case|try)\b|#available", stripped):
            yield index, "condition", None
        constant = re.match(r"\s*(?:package |private |fileprivate )?(?:static )?let \w+(?:: \w+)? = (\d[\d_]*)(?= <<|$)", line)
        if constant:
            yield index, "constant", constant.span(1)


def plant(number, line, kind, place):
    if kind == "operator":
        at, operator = place
        name = {"<": "<", ">": ">", "=": "~", "!": "~", "+": "+", "-": "-", "&": "&", "|": "|"}[operator[1]] + spelled(number)
        return line[:at] + f" {name} " + line[at + len(operator):], (name, operator)
    if kind == "call":
        indent = line[: len(line) - len(line.lstrip())]
        return f"{indent}if Mutants.keeps({number}) {{ {line.strip()} }}", None
    if kind == "condition":
        word, condition, rest = re.match(r"\s*(guard|if) ([^,{]+?) ((?:else )?\{.*)", line).groups()
        indent = line[: len(line) - len(line.lstrip())]
        return f"{indent}{word} Mutants.flip({number}, {condition}) {rest}", None
    start, end = place
    value = int(line[start:end].replace("_", ""))
    return line[:start] + f"Mutants.pick({number}, {value}, {value * 2 if value else 1})" + line[end:], None


def operator_source(mutants):
    text = ["// Each stands for one operator at one place."]
    for mutant in mutants:
        if not mutant.operator:
            continue
        name, original = mutant.operator
        other, protocol, result, precedence = OPPOSITES[original]
        text.append(f"infix operator {name} : {precedence}")
        if protocol:
            text.append(f"public func {name} <T: {protocol}>(a: T, b: T) -> {result} "
                        f"{{ Mutants.active == {mutant.number} ? a{other}b : a{original}b }}")
        else:
            text.append(f"public func {name} (a: Bool, b: @autoclosure () -> Bool) -> Bool "
                        f"{{ Mutants.active == {mutant.number} ? a{other}b() : a{original}b() }}")
    return "\n".join(text) + "\n"


def choose(root, count, seed):
    random.seed(seed)
    everything = collections.defaultdict(list)
    for module in CORE:
        for folder, _, names in sorted(os.walk(f"{root}/Sources/{module}")):
            for name in sorted(names):
                if name.endswith(".swift"):
                    path = os.path.relpath(f"{folder}/{name}", root)
                    for place in candidates(path, open(f"{root}/{path}").read()):
                        everything[module].append((path, *place))
    total = sum(len(places) for places in everything.values())
    chosen = []
    for module, places in everything.items():
        share = max(6, round(count * len(places) / total))
        random.shuffle(places)
        taken, lines = 0, set()
        for place in places:
            if (place[0], place[1]) in lines:
                continue
            lines.add((place[0], place[1]))
            chosen.append(place)
            taken += 1
            if taken == share:
                break
    random.shuffle(chosen)
    return chosen


def write_tree(root, folder, places):
    """A copy of the tracked tree with every fault in it, behind its number."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=root, capture_output=True, text=True, check=True)
    for path in listed.stdout.split("\n"):
        if path and os.path.exists(f"{root}/{path}"):
            os.makedirs(os.path.dirname(f"{folder}/{path}"), exist_ok=True)
            shutil.copy2(f"{root}/{path}", f"{folder}/{path}")
    subprocess.run(["git", "init", "-q", folder], check=True)
    mutants, files = [], {}
    for number, (path, index, kind, place) in enumerate(places, 1):
        lines = files.setdefault(path, open(f"{root}/{path}").read().split("\n"))
        after, operator = plant(number, lines[index], kind, place)
        mutants.append(Mutant(number, path, index + 1, lines[index], after, operator))
        lines[index] = after
    manifest = open(f"{root}/Package.swift").read().replace(", .treatAllWarnings(as: .error)", "")
    manifest = re.sub(r'library\("(%s)"(, \[)?' % "|".join(CORE), lambda m: f'library("{m[1]}", ["Mutants"' + (", " if m[2] else "]"), manifest)
    manifest = re.sub(r'library\(\s*\n\s*"(%s)",\s*\[' % "|".join(CORE), lambda m: f'library("{m[1]}", ["Mutants", ', manifest)
    manifest = manifest.replace('library("Logging"),', 'library("Logging"), library("Mutants"),')
    open(f"{folder}/Package.swift", "w").write(manifest)
    os.makedirs(f"{folder}/Sources/Mutants", exist_ok=True)
    for path, lines in files.items():
        # After the last line, so that the numbers of lines stay.
        open(f"{folder}/{path}", "w").write("\n".join(lines) + "\nimport Mutants\n")
    return mutants


def write_support(folder, mutants):
    open(f"{folder}/Sources/Mutants/Mutants.swift", "w").write("// Mutants: which planted fault is on, and the operators of all.\n" + SUPPORT + operator_source(mutants))


def build(folder, mutants, configuration):
    """Builds; takes out what the compiler refuses until it refuses nothing."""
    while True:
        write_support(folder, mutants)
        run = subprocess.run(["swift", "build", "-c", configuration, "--build-tests"], cwd=folder, capture_output=True, text=True)
        if run.returncode == 0:
            return mutants
        refused = set()
        for path, line in re.findall(r"(Sources/\S+?\.swift):(\d+):\d+: error:", run.stdout + run.stderr):
            near = [m for m in mutants if m.path == path and m.line == int(line)]
            refused.update(m.number for m in near or [m for m in mutants if m.path == path])
        if not refused:
            sys.exit("mutate: the copy does not build:\n" + (run.stdout + run.stderr)[-4000:])
        for mutant in mutants:
            if mutant.number in refused:
                lines = open(f"{folder}/{mutant.path}").read().split("\n")
                lines[mutant.line - 1] = mutant.before
                open(f"{folder}/{mutant.path}", "w").write("\n".join(lines))
        mutants = [m for m in mutants if m.number not in refused]
        print(f"  the compiler refused {len(refused)}, {len(mutants)} stay", flush=True)


def tiers(root, path):
    """The suites for a fault in this file: those that name it, those of its module, those above."""
    name = os.path.basename(path)[: -len(".swift")]
    named, called = re.compile(r"\b(%s)\b" % "|".join(re.findall(r"\b[A-Z]\w+", name))), name.replace("+", "") + "Tests"
    near, own = [], SUITES[path.split("/")[1]]
    for target in dict.fromkeys(re.match(r"\w+", suite)[0] for tier in own for suite in tier):
        for folder, _, files in sorted(os.walk(f"{root}/Tests/{target}")):
            for file in sorted(files):
                text = open(f"{folder}/{file}").read() if file.endswith("Tests.swift") else ""
                for suite in re.findall(r"^(?:@Suite\S* )?(?:final class|struct) (\w+Tests)\b", text, re.M):
                    if suite == called or own[0][0].startswith(target) and named.search(text):
                        near.append(rf"{target}\.{suite}/")
    return ([near] if near else []) + own


def end_session(leader):
    """Kills what is left of a run: the tests have groups of their own, in its session."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = open(f"/proc/{name}/stat").read().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] != "Z":
                os.kill(int(name), signal.SIGKILL)
        except (OSError, ValueError):
            pass


def caught(folder, number, suites, configuration, limit):
    """The first line that tells of a failure; None when the tests pass."""
    # The tests themselves, not `swift test`: two of those do not run side by side in one folder.
    command = [f"{folder}/.build/{configuration}/goproxyPackageTests.xctest", "--testing-library", "swift-testing"]
    for suite in suites:
        command += ["--filter", "^" + suite]
    run = subprocess.Popen(command, cwd=folder, env={**os.environ, **QUICK, "MUTANT": str(number)}, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, start_new_session=True)
    end, words, last, rest = time.time() + limit, None, "", b""
    while words is None:
        if time.time() > end:
            words = "does not end"
        elif select.select([run.stdout], [], [], 1)[0]:
            piece = os.read(run.stdout.fileno(), 1 << 16)
            if not piece:
                run.wait()
                break
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                last = re.sub(r"\x1b\[[\d;]*m", "", line.decode(errors="replace")).strip() or last
                if last.startswith("✘") or "Fatal error" in last:
                    words = last
                    break
    end_session(run.pid)
    status = run.wait()
    if " 0 tests in" in last:
        sys.exit(f"mutate: no tests in {suites}")
    return words or (f"status {status}: {last}" if status else None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True, help="where the copy is made; kept between runs with --again")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--configuration", default="debug")
    parser.add_argument("--again", action="store_true", help="the copy is there, from a run with the same seed")
    parser.add_argument("--build-only", action="store_true")
    parser.add_argument("--without", default="", help="numbers of those that change nothing: the next ones take their places")
    parser.add_argument("--only", help="numbers, with commas")
    parser.add_argument("--share", default="1/1", help="2/3: the second third of them, for several runs side by side")
    parser.add_argument("--suites", help="these suites alone: regular expressions, with commas")
    parser.add_argument("--tiers", type=int, default=5, help="for so many rounds, the quick ones first")
    parser.add_argument("--limit", type=int, default=600, help="seconds for one run of the tests")
    options = parser.parse_args()
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
    folder = os.path.abspath(options.folder)
    state = f"{folder}/mutants.json"
    if options.again:
        mutants = []
        for fields in json.load(open(state)):
            mutant = Mutant(*(fields[k] for k in ("number", "path", "line", "before", "after", "operator")))
            mutants.append(mutant)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        mutants = write_tree(root, folder, choose(root, options.count * 3 // 2, options.seed))
        print(f"{len(mutants)} faults planted, building", flush=True)
        mutants = build(folder, mutants, options.configuration)
        json.dump([m.__dict__ for m in mutants], open(state, "w"))
    # Of those that compile and change anything, a hundred; the others stay in the copy, off.
    left_out = {int(n) for n in options.without.split(",") if n}
    mutants = [m for m in mutants if m.number not in left_out][: options.count]
    if options.build_only:
        return print("\n".join(map(str, mutants)))
    if options.only:
        numbers = {int(n) for n in options.only.split(",")}
        mutants = [m for m in mutants if m.number in numbers]
    part, parts = map(int, options.share.split("/"))
    mutants = mutants[part - 1 :: parts]
    # The quick suites first, for all of them.
    for tier in range(options.tiers):
        for mutant in mutants:
            all = [options.suites.split(",")] if options.suites else tiers(root, mutant.path)
            if mutant.status == "caught" or tier >= len(all):
                continue
            start = time.time()
            words = caught(folder, mutant.number, all[tier], options.configuration, options.limit)
            mutant.status, mutant.by = ("caught", words[:120]) if words else ("survives", "")
            print(f"{mutant.status:8} {time.time() - start:5.0f} s {'+'.join(all[tier])}\n  {mutant}\n       {mutant.by}", flush=True)
    count = sum(m.status == "caught" for m in mutants)
    print(f"{count} of {len(mutants)} caught; survivors: {[m.number for m in mutants if m.status != 'caught']}")


main()
