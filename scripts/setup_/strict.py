"""Builds a Wine server that is as strict as NT about named pipes, and defines the steps of a strict run.

Wine's server accepts much that NT rejects, so a test that passes on it proves little. All its code for named pipes is
in one file, and `strict_edits` has the changes to that file. The source is Debian's source of the installed Wine,
because server and programs must use the same protocol. Only the server is built, and it has its own drive C:.
Everything else is the installed Wine, and normal runs are not affected.
"""

import os
import re
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .steps import AGAIN, DEV, DevError, Step, directory_step, remove_directory, run_quietly
from .strict_edits import EDITS, Edit
from .wine import apt_install, server_steps, stop_server

STRICT = DEV / "strict"
PREFIX = STRICT / "prefix"
SOURCE = STRICT / "source"  # the source of the server, configured, without the edits
SERVER = STRICT / "server"
PROGRAM = SERVER / "wineserver"
EDITED = "named_pipe.c"

# The files that the build needs, and their Debian packages.
BUILDERS = {
    "/usr/bin/autoreconf": "autoconf",
    "/usr/bin/bison": "bison",
    "/usr/bin/flex": "flex",
    "/usr/bin/gcc": "gcc",
    "/usr/bin/patch": "patch",
    "/usr/bin/perl": "perl",
    "/usr/bin/xz": "xz-utils",
    "/usr/include/stdio.h": "libc6-dev",
    "/usr/share/misc/config.guess": "autotools-dev",
}


def missing_builders() -> list[str]:
    """Return the packages that must be installed before the build."""
    return [package for path, package in BUILDERS.items() if not Path(path).exists()]


def installed_wine() -> str:
    """Return the source package and version of the installed Wine in apt-get's form, such as `wine=8.0~repack-4`."""
    query = ("dpkg-query", "-W", "-f", "${source:Package}=${source:Version}", "wine")
    try:
        return subprocess.check_output(query, text=True, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        hint = "Only the Wine of Debian-based systems can be built strict; run `test` without `--strict`"
        raise DevError("the installed Wine is not a package of this system", hint) from None


# ---- the source -----------------------------------------------------------------------------------------------------


def make_source(path: Path) -> None:
    """Fetch the source of the installed Wine, and prepare the files for the server."""
    work = path / "work"
    work.mkdir()
    fetch_source(path / "apt", work, installed_wine())
    unpack(work)
    generate(work)
    for name in ("include", "server"):
        (work / name).rename(path / name)
    remove_directory(work)  # ten thousand files that are no longer needed
    remove_directory(path / "apt")


def fetch_source(apt: Path, target: Path, package: str) -> None:
    """Fetch a source package with apt-get from the archives of the binary packages.

    Most systems do not list sources, so apt-get uses separate lists and caches, and does not change the system's.
    """
    for name in ("sources.list.d", "lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True)
    (apt / "sources.list").touch()
    for name, text in source_lists():
        (apt / "sources.list.d" / name).write_text(text, encoding="utf-8")
    settings = {
        "Dir::Etc::SourceList": apt / "sources.list",
        "Dir::Etc::SourceParts": apt / "sources.list.d",
        "Dir::State::Lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "root",  # another user may not enter this checkout
    }
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    otherwise = "The archive may have a newer Wine by now: `apt-get install wine` brings it"
    run_quietly("apt-get update", "apt-get", "-q", *options, "update")
    run_quietly(
        f"fetching the source of {package}",
        *("apt-get", "-q", *options, "source", "--download-only", "--only-source", package),
        otherwise=otherwise,
        cwd=target,
    )


def source_lists(etc: Path = Path("/etc/apt")) -> Iterator[tuple[str, str]]:
    """Yield the system's own package lists, rewritten for the sources of the same archives."""
    for path in (etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))):
        if not path.is_file() or path.suffix not in (".list", ".sources"):
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".sources":
            yield path.name, re.sub(r"(?mi)^Types:.*$", "Types: deb-src", text)
        else:
            entries = re.findall(r"(?m)^deb(\s.*)$", text)
            yield path.name, "".join(f"deb-src{entry}\n" for entry in entries)


def unpack(work: Path) -> None:
    """Unpack Wine's source, and apply Debian's changes to it."""
    archives = {part: [*work.glob(f"*.{part}.tar.*")] for part in ("orig", "debian")}
    for part, options in (("orig", ("--strip-components=1",)), ("debian", ())):
        if len(archives[part]) != 1:
            raise DevError(f"the source of Wine has no archive `{part}`, or more than one", AGAIN)
        run_quietly("unpacking", "tar", "-xf", archives[part][0], *options, cwd=work)
    patches = work / "debian" / "patches"
    for line in (patches / "series").read_text(encoding="utf-8").splitlines():
        if name := line.partition("#")[0].strip():
            run_quietly(f"the patch {name}", "patch", "-p1", "-s", "-f", "-i", patches / name, cwd=work)


def generate(work: Path) -> None:
    """Generate the files that Debian has removed from the source, and configure it for this system."""
    if (work / "debian" / "scripts" / "generate").exists():  # with Wine 8
        for name in ("trace", "request"):
            command = ("sh", "debian/scripts/generate", f"server/{name}.generated", "make_requests")
            run_quietly("making a generated file", *command, cwd=work)
    run_quietly("make_requests", "perl", "tools/make_requests", cwd=work)
    for name in ("config.guess", "config.sub"):
        shutil.copy(Path("/usr/share/misc") / name, work / "tools" / name)
    run_quietly("autoreconf", "autoreconf", "-f", cwd=work)
    # The server needs none of Wine's optional libraries, and only the header is needed.
    without = [f"--without-{name}" for name in ("freetype", "gnutls", "mingw", "opengl", "vulkan", "x")]
    run_quietly("configure", "./configure", "--enable-win64", "--no-create", *without, cwd=work)
    run_quietly("config.status", "./config.status", "include/config.h", cwd=work)


# ---- the server -----------------------------------------------------------------------------------------------------


def make_server(path: Path) -> None:
    """Edit the source and compile it."""
    source = path / "source"
    shutil.copytree(SOURCE / "server", source)
    file = source / EDITED
    file.write_text(edited(file.read_text(encoding="utf-8")), encoding="utf-8")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = [*pool.map(compile_file, sorted(source.glob("*.c")))]
    run_quietly("linking the server", "gcc", "-o", PROGRAM, *objects, "-lrt", "-lpthread", "-lm")
    remove_directory(source)


def compile_file(file: Path) -> Path:
    """Compile one file of the server."""
    # Where the server searches for Wine's character tables, in addition to the standard locations.
    places = {"BINDIR": "/usr/bin", "DATADIR": "/usr/share", "NLSDIR": "/usr/share/wine/nls", "BIN_TO_NLSDIR": "../nls"}
    macros = ("__WINESRC__", *(f'{name}="{value}"' for name, value in places.items()))
    options = ("-O1", "-w", *(f"-D{macro}" for macro in macros), f"-I{SOURCE / 'include'}", f"-I{file.parent}")
    target = file.with_suffix(".o")
    run_quietly(f"compiling {file.name}", "gcc", *options, "-c", file, "-o", target)
    return target


def edited(text: str) -> str:
    """Apply all edits to the text of the file."""
    for edit in EDITS:
        text = apply(edit, text)
    return text


def apply(edit: Edit, text: str) -> str:
    """Apply one edit; its place must exist exactly once."""
    # From the line with the name to the brace in the first column; a declaration has no brace.
    block = re.search(rf"(?ms)^[^\n;{{}}]*\b{edit.inside}\b[^;{{}}]*\{{.*?^\}}", text)
    if block is None:
        raise misplaced(edit, f"there is no `{edit.inside}`")
    new = textwrap.dedent(edit.text).strip("\n") if edit.where == "instead of" else edit.text.strip("\n") + "\n"
    if not edit.words:
        return f"{text[: block.start()]}{new}\n{text[block.start() :]}"
    places = [*re.compile(r"\s*".join(map(re.escape, edit.words.split()))).finditer(text, *block.span())]
    if len(places) != 1:
        raise misplaced(edit, f"`{edit.inside}` has {len(places)} places with `{edit.words}`")
    start, end = places[0].span()
    if edit.where != "instead of":
        # Insert a line before or after the one with the words.
        line = text.rfind("\n", 0, start) if edit.where == "before" else text.find("\n", end)
        start = end = line + 1
    return text[:start] + new + text[end:]


def misplaced(edit: Edit, what: str) -> DevError:
    """Return the error that the edits do not fit the source."""
    hint = f"Compare scripts/setup_/strict_edits.py with server/{EDITED} of {installed_wine()}"
    return DevError(f"the edit for {edit.rules} has no place: {what}", hint)


def remove_server(path: Path) -> None:
    """Remove the program, after ending the server if it is running."""
    stop_server(PREFIX)
    remove_directory(path)


STRICT_STEPS = (
    Step(
        "installing what builds a strict Wine server",
        lambda: not missing_builders(),
        lambda: apt_install(*missing_builders()),
    ),
    directory_step("fetching the source of Wine", SOURCE, installed_wine, make_source),
    directory_step(
        "building a strict Wine server", SERVER, lambda: f"{installed_wine()} {EDITS}", make_server, remove_server
    ),
    *server_steps("a strict Wine", PREFIX, lambda: str(PROGRAM)),
)
