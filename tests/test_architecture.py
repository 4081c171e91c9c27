"""The packages (rooms) and their allowed imports, as docs/architecture.md describes them, checked in the source."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from runpy import run_path

import pytest

import pipectl
from pipectl.commands import COMMANDS
from pipectl.core.checks.claims import CLAIMS
from pipectl.options import Command

ROOT = Path(pipectl.__file__).parent
TESTS = Path(__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").rstrip("."): path
    for path in ROOT.rglob("*.py")
}
SOURCES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
CORE = [name for name in MODULES if name.startswith("core.")]
COMMAND_MODULES = [name for name in MODULES if name.startswith("commands.")]

# The packages, each with those that it may import. A file outside of all packages counts as one.
ROOMS = {
    "core": set(),
    "testing": {"core"},
    "exitcodes": {"core"},
    "hints": {"core"},
    "output": {"core"},
    "options": {"output", "core"},
    "failures": {"exitcodes", "hints", "options", "output", "core"},
    "topics": set(),
    "commands": {"exitcodes", "hints", "options", "output", "core"},
    "cli": {"failures", "commands", "options", "output", "core"},
    "__main__": {"cli"},
}
# The same for the packages of the core; each of them may also import the vocabulary.
CORE_ROOMS = {
    "win32": set(),
    "security": {"win32"},
    "pipe": {"win32"},
    "children": {"win32"},
    "inventory": {"security", "pipe", "win32"},
    "codecs": {"pipe"},
    "recording": {"codecs", "pipe"},
    "traffic": {"recording", "codecs", "pipe", "children", "win32"},
    "win32pipe": {"children", "win32"},
    "checks": {"inventory", "security", "traffic", "pipe", "children", "win32"},
}
VOCABULARY = {"constants", "errors", "deadline", "names", "models"}
# The modules that run on any system, because neither they nor their imports ever import `win32`.
PURE = [f"core.{name}" for name in VOCABULARY] + [
    "core.checks.audit_rules",
    "core.checks.audit_table",
    "core.checks.baseline",
    "core.checks.bench_plan",
    "core.checks.doctor",
    "core.checks.histogram",
    "core.inventory.handles",
    "core.inventory.history",
    "core.inventory.holders",
    "core.inventory.processlist",
    *(name for name in MODULES if name.startswith("core.codecs")),
    "core.traffic.faults",
    *(name for name in MODULES if name.startswith("core.traffic.rules") and name != "core.traffic.rules_server"),
    "core.security.sids",
    "core.security.sddl",
    "core.security.access_check",
    "core.pipe.formats",
    "core.pipe.frames",
    "core.pipe.framing",
    "core.pipe.memory",
    "core.checks.claims",
    "core.checks.sarif",
    "core.recording.conversation",
    "core.recording.pcapng",
    "core.recording.recorder",
    "core.recording.recording",
    "core.recording.replay",
    "core.traffic.observer",
]


def imports(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Yield the level, the module and each name of every import, including those inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.level, node.module or "", alias.name) for alias in node.names)


def outside(module: str) -> set[str]:
    """Return the third-party packages that a module imports."""
    return {name.partition(".")[0] for level, name, _ in imports(SOURCES[module]) if not level} - {"pipectl"}


def ours(module: str) -> set[str]:
    """Return the modules of pipectl that a module imports, or from which it imports a name."""
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for level, name, imported in imports(SOURCES[module]):
        if not level and name.partition(".")[0] != "pipectl":
            continue
        base = package.split(".")[: len(package.split(".")) + 1 - level] if level and package else []
        path = ".".join([*base, *filter(None, [name if level else name.removeprefix("pipectl").lstrip(".")])])
        inner = f"{path}.{imported}".lstrip(".")
        found.add(inner if inner in MODULES else path)
    return found - {"", "core"} - {f"core.{room}" for room in CORE_ROOMS if room != "win32pipe"}


def called(tree: ast.AST) -> set[str]:
    """Return the names of all functions that are called by name or as an attribute of a module."""
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def room_of(module: str) -> str:
    """Return the package of `pipectl/` that contains a module."""
    return module.partition(".")[0]


def core_room_of(module: str) -> str:
    """Return the package of the core that contains a module; "" for the vocabulary."""
    name = module.removeprefix("core.").partition(".")[0]
    return "" if name in VOCABULARY else name


def reached_from(module: str) -> set[str]:
    """Return all modules that a module imports, directly or indirectly, at any time."""
    found: set[str] = set()
    ahead = [module]
    while ahead:
        for name in ours(ahead.pop()) - found:
            found.add(name)
            ahead.append(name)
    return found


def test_every_module_is_in_a_room() -> None:
    assert {room_of(module) for module in MODULES} - {""} == set(ROOMS)
    assert {core_room_of(module) for module in CORE} - {""} == set(CORE_ROOMS)


def test_imports_are_found_wherever_they_stand() -> None:
    assert ours("core.pipe.server") >= {"core.win32.winapi", "core.win32.calls", "core.errors"}
    assert ours("core.pipe.connection") >= {"core.pipe.availability", "core.models"}  # in functions, or for types
    assert ours("commands.call") >= {"core.pipe.connection", "options", "options.client"}
    assert outside("output.tables") >= {"rich", "threading"}


@pytest.mark.parametrize("module", sorted(set(MODULES) - {""}))
def test_a_module_enters_only_the_rooms_that_its_own_may(module: str) -> None:
    rooms = {room_of(name) for name in ours(module)} - {room_of(module)}
    assert rooms <= ROOMS[room_of(module)]


@pytest.mark.parametrize("module", CORE)
def test_a_module_of_the_core_enters_only_the_rooms_that_its_own_may(module: str) -> None:
    rooms = {core_room_of(name) for name in ours(module)} - {core_room_of(module), ""}
    assert rooms <= CORE_ROOMS.get(core_room_of(module), set())


def test_no_room_leads_back_to_itself() -> None:
    for rooms in (ROOMS, CORE_ROOMS):
        left = dict(rooms)
        while leaves := [room for room, entered in left.items() if not entered & left.keys()]:
            left = {room: entered for room, entered in left.items() if room not in leaves}
        assert not left


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_module_leads_back_to_itself(module: str) -> None:
    assert module not in reached_from(module)


@pytest.mark.parametrize("module", PURE)
def test_what_is_pure_never_comes_to_the_border(module: str) -> None:
    assert not [name for name in reached_from(module) if core_room_of(name) == "win32"]


@pytest.mark.parametrize(
    "module",
    [""]
    + [
        name
        for name in MODULES
        if MODULES[name].name == "__init__.py" and core_room_of(name) in CORE_ROOMS and name != "core.win32pipe"
    ],
)
def test_entering_a_room_of_the_core_imports_nothing(module: str) -> None:
    at_once = ast.Module(list(top_level(SOURCES[module])), [])
    assert not [name for level, name, _ in imports(at_once) if level or name.startswith("pipectl")]


def test_no_file_is_longer_than_500_lines() -> None:
    assert {name for name, path in MODULES.items() if len(path.read_text(encoding="utf-8").splitlines()) > 500} == set()


# The core


@pytest.mark.parametrize("module", CORE)
def test_the_core_knows_no_click_and_no_rich_and_never_prints_or_exits(module: str) -> None:
    assert not outside(module) & {"click", "rich"}
    assert not called(SOURCES[module]) & {"print", "input", "exit", "quit", "sys.exit", "os._exit"}


def test_only_winapi_loads_a_dll() -> None:
    loads = re.compile(r"\b(WinDLL|OleDLL|CDLL|PyDLL|windll|oledll|cdll|LoadLibrary)\b")
    loading = {name for name, path in MODULES.items() if loads.search(path.read_text(encoding="utf-8"))}
    assert loading == {"core.win32.winapi"}


def test_h11_is_imported_only_where_the_head_of_a_message_is_read() -> None:
    assert {module for module in MODULES if "h11" in outside(module)} == {"core.codecs.httphead"}
    reading = [name for name, tree in SOURCES.items() if "core.codecs.httphead" in at_once(name, tree)]
    assert not reading


def at_once(module: str, tree: ast.Module) -> set[str]:
    """Return the modules in its own package that a module imports when it is imported."""
    package = module.rpartition(".")[0]
    return {f"{package}.{name}" for level, name, _ in imports(ast.Module(list(top_level(tree)), [])) if level == 1}


def test_ctypes_stays_in_the_core() -> None:
    assert {module for module in MODULES if "ctypes" in outside(module)} <= set(CORE)


# The command line


@pytest.mark.parametrize("module", COMMAND_MODULES)
def test_a_command_has_no_ctypes_no_rich_no_other_command_and_no_try(module: str) -> None:
    assert not outside(module) & {"ctypes", "rich"}
    assert not {name for name in ours(module) if name.startswith("commands.")}
    assert not [node for node in ast.walk(SOURCES[module]) if isinstance(node, ast.Try)]
    assert not called(SOURCES[module]) & {"print", "click.echo", "click.secho", "sys.exit", "exit"}


@pytest.mark.parametrize("module", COMMAND_MODULES)
def test_a_command_imports_what_stands_on_windows_only_when_it_runs(module: str) -> None:
    at_once = {name for level, name, _ in imports(ast.Module(list(top_level(SOURCES[module])), [])) if not level}
    assert {name for name in at_once if name.startswith("pipectl.core")} <= {
        f"pipectl.core.{name}" for name in VOCABULARY
    }


def top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported."""
    for node in tree.body:
        is_for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not is_for_types and not isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node


def test_only_tables_draws_with_rich_and_only_text_measures_with_it() -> None:
    assert {module for module in MODULES if "rich" in outside(module)} == {"output.tables", "output.text"}


def test_only_the_boundary_and_what_it_stands_on_exit() -> None:
    assert {module for module in MODULES if called(SOURCES[module]) & {"sys.exit", "os._exit"}} == {"cli", "__main__"}


# The commands


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_of_a_command_is_the_first_sentence_of_its_help(name: str) -> None:
    command = import_module(COMMANDS[name].module).command
    assert (command.help or "").partition("\n\n")[0].replace("\n", " ") == COMMANDS[name].summary


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_three_examples_of_itself(name: str) -> None:
    command = import_module(COMMANDS[name].module).command
    assert isinstance(command, Command)
    assert len(command.examples) == 3
    for example in command.examples:
        assert example.line.startswith(f"pipectl {name}")
        assert re.fullmatch(r"[A-Z].*\.", example.does)


def test_every_command_module_is_in_the_table() -> None:
    assert sorted(entry.module for entry in COMMANDS.values()) == sorted(f"pipectl.{name}" for name in COMMAND_MODULES)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_opens_a_pipe_says_so_at_once(name: str) -> None:
    command = import_module(COMMANDS[name].module).command
    opens = {parameter.name for parameter in command.params} & {"sqos", "timeout"} == {"sqos", "timeout"}
    if opens or name in ("wait", "list", "demo"):
        assert re.search(r"\bopens?\b", (command.help or "").split("\n\n")[1].lower())


# Claims about Windows

CLAIMED = {claim.id: claim for claim in CLAIMS}
STRICT_EDITS = run_path(str(TESTS.parent / "scripts" / "setup_" / "strict_edits.py"))


def marked_tests() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the place of each `windows` mark in the tests, with its arguments."""
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.windows":
                place = f"{path.relative_to(TESTS).as_posix()}:{node.lineno}"
                yield place, {str(word.arg): ast.literal_eval(word.value) for word in node.keywords}


def modelled_rules() -> dict[str, str]:
    """Return each rule of NT that the tests' models enforce, with its claim."""
    rules: dict[str, str] = dict(STRICT_EDITS["CLAIMS"])
    tree = ast.parse((TESTS / "nt" / "layer.py").read_text(encoding="utf-8"))
    for node in (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name != "Rule"):
        rule = re.match(r"(N\d+):|FILE_FLAG_(FIRST_PIPE_INSTANCE):", ast.get_docstring(node) or "")
        claims = [
            line.value for line in node.body if isinstance(line, ast.Assign) and ast.unparse(line).startswith("claim")
        ]
        assert rule, node.name
        assert claims, node.name
        rules[rule[1] or rule[2]] = ast.literal_eval(claims[0])
    return rules


def test_every_test_that_only_windows_can_run_has_a_claim_of_the_selftest() -> None:
    marks = dict(marked_tests())
    assert marks
    assert {place: mark.get("claim") for place, mark in marks.items() if mark.get("claim") not in CLAIMED} == {}
    assert all(mark["reason"] for mark in marks.values())


def test_every_rule_of_the_strict_server_has_a_claim() -> None:
    rules = {rule for edit in STRICT_EDITS["EDITS"] for rule in edit.rules.split(", ")}
    assert rules == set(STRICT_EDITS["CLAIMS"])


def test_the_rules_of_the_models_and_the_claims_name_one_another() -> None:
    rules = modelled_rules()
    assert {rule: claim for rule, claim in rules.items() if rule not in CLAIMED[claim].rules} == {}
    assert {rule for claim in CLAIMS for rule in claim.rules} == set(rules)


def test_every_claim_stands_for_a_rule_a_test_or_something_that_rests_on_it() -> None:
    tested = {mark["claim"] for _, mark in marked_tests()}
    assert [claim.id for claim in CLAIMS if not (claim.rules or claim.rests or claim.id in tested)] == []
