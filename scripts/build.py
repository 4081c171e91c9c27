"""Build the exe with the Python that runs this script, on Windows or under Wine; `dev.py build` runs it.

`build.py [--one-folder] [--output DIRECTORY] [--sign THUMBPRINT]` writes pipectl.exe, or a folder and its zip, and
SHA256SUMS, the bill of materials and the licenses of all components. Nothing is written unless the exe passes its smoke
test. Two builds of the same source with the same packages are identical, byte for byte.

`build.py --check PROGRAM` builds nothing: it runs the smoke test for an existing pipectl, however it was installed.
"""

import argparse
import functools
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution, packages_distributions
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

ROOT = Path(__file__).resolve().parent.parent
SPEC = ROOT / "scripts" / "pipectl.spec"
WORK = ROOT / "build"
sys.path.insert(0, str(ROOT))

from pipectl import __version__  # noqa: E402 - after the path is set
from pipectl.commands import COMMANDS  # noqa: E402

# These would differ between two builds: the build time in the exe's header, and the order of Python's sets.
REPRODUCIBLE = {"SOURCE_DATE_EPOCH": "1767225600", "PYTHONHASHSEED": "0"}  # 2026-01-01; any time works

TIMESTAMPS = "http://timestamp.digicert.com"  # so the signature outlives the certificate


class BuildError(Exception):
    """An error to print as an `error:` line after its log."""

    def __init__(self, error: str, log: str = "") -> None:
        super().__init__(error)
        self.log = log


def build(*, one_folder: bool, output: Path, thumbprint: str | None) -> Path:
    """Build, sign, test and describe the exe, and return its path."""
    if thumbprint and not shutil.which("signtool"):
        raise BuildError("signtool is not found: install the Windows SDK, and run this in its developer prompt")
    exe = freeze(one_folder=one_folder)
    if thumbprint:
        sign(exe, thumbprint)
    smoke_test(exe)
    return publish(exe, one_folder=one_folder, output=output)


def freeze(*, one_folder: bool) -> Path:
    """Run PyInstaller for a clean build in a separate folder."""
    made = WORK / "made"
    shutil.rmtree(made, ignore_errors=True)
    paths = ("--clean", "--noconfirm", "--workpath", WORK / "pyinstaller", "--distpath", made)
    options = ("--", "--one-folder") if one_folder else ()
    environment = {
        **REPRODUCIBLE,
        **os.environ,
        "PYINSTALLER_CONFIG_DIR": str(WORK / "cache"),
        "PYTHONPATH": sysconfig.get_path("stdlib"),  # before a zip of bytecode, whose docstrings cannot be removed
    }
    run("PyInstaller", sys.executable, "-m", "PyInstaller", *paths, SPEC, *options, env=environment)
    return made / "pipectl" / "pipectl.exe" if one_folder else made / "pipectl.exe"


def sign(exe: Path, thumbprint: str) -> None:
    """Sign the exe with a certificate from the user's store, with a timestamp."""
    how = ("/fd", "sha256", "/td", "sha256", "/tr", TIMESTAMPS, "/sha1", thumbprint)
    run("signtool", "signtool", "sign", *how, exe)
    run("signtool", "signtool", "verify", "/pa", exe)


def smoke_test(exe: Path) -> None:
    """Check that the exe starts, has the right version, and has every command."""
    version = run("the exe's --version", exe, "--version").strip()
    if version != f"pipectl {__version__}":
        raise BuildError(f"`{exe} --version` says `{version}`, and should say `pipectl {__version__}`")
    for command in COMMANDS:
        run(f"the exe's {command} --help", exe, command, "--help")


def run(what: str, *command: str | Path, env: dict[str, str] | None = None) -> str:
    """Run a program and return its output, which is only shown if the program fails."""
    done = subprocess.run(
        command, input="", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
        env=env, cwd=ROOT,
    )  # fmt: skip
    if done.returncode:
        raise BuildError(f"{what} ended with {done.returncode}", "\n".join(done.stdout.splitlines()[-30:]))
    return done.stdout


def publish(exe: Path, *, one_folder: bool, output: Path) -> Path:
    """Copy the build and the files that describe it to the output folder; return the path of the exe."""
    output.mkdir(parents=True, exist_ok=True)
    files = [output / "pipectl.cdx.json", output / "pipectl-licenses.txt"]
    inside = list(distributions_in(exe))
    files[0].write_text(json.dumps(bill_of_materials(exe, inside), indent=2) + "\n", encoding="utf-8")
    files[1].write_text(licenses(inside), encoding="utf-8")
    if one_folder:
        shutil.rmtree(output / "pipectl", ignore_errors=True)
        shutil.copytree(exe.parent, output / "pipectl", copy_function=shutil.copyfile)  # Wine 8 has no CopyFile2
        files.insert(0, zipped(output / "pipectl"))
        built = output / "pipectl" / "pipectl.exe"
    else:
        built = Path(shutil.copy(exe, output))
        files.insert(0, built)
    sums = "".join(f"{sha256(file)} *{file.name}\n" for file in files)
    (output / "SHA256SUMS").write_text(sums, encoding="ascii", newline="\n")
    return built


def zipped(folder: Path) -> Path:
    """Create a reproducible zip of a folder."""
    file = folder.with_suffix(".zip")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = path.relative_to(folder.parent).as_posix()
                archive.writestr(zipfile.ZipInfo(name), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return file


def sha256(file: Path) -> str:
    """Return the SHA-256 hash of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


# ---- components -----------------------------------------------------------------------------------------------------


def distributions_in(exe: Path) -> Iterator[Distribution]:
    """Yield the packages with files in the exe, according to its archive, and the package that built it."""
    from PyInstaller.archive.readers import CArchiveReader

    modules = CArchiveReader(str(exe)).open_embedded_archive("PYZ.pyz").toc
    tops = {name.partition(".")[0] for name in modules}
    owners = packages_distributions()
    names = {owner for top in tops for owner in owners.get(top, ())} - {"pipectl"}
    yield from map(distribution, sorted({*names, "pyinstaller"}))


def bill_of_materials(exe: Path, inside: Iterable[Distribution]) -> dict[str, Any]:
    """Return the components of the exe in CycloneDX format."""
    components = [python_component(), *map(component, inside)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, sha256(exe))}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "pipectl",
                "name": "pipectl",
                "version": __version__,
                "licenses": [{"license": {"id": "MIT"}}],
                "hashes": [{"alg": "SHA-256", "content": sha256(exe)}],
            }
        },
        "components": components,
        "dependencies": [{"ref": "pipectl", "dependsOn": [part["bom-ref"] for part in components]}],
    }


def python_component() -> dict[str, Any]:
    """Return the component for the interpreter and its DLLs."""
    reference = f"pkg:generic/python@{platform.python_version()}"
    return {
        "type": "platform",
        "bom-ref": reference,
        "name": "CPython",
        "version": platform.python_version(),
        "purl": reference,
        "licenses": [{"license": {"id": "PSF-2.0"}}],
    }


def component(package: Distribution) -> dict[str, Any]:
    """Return the component for a package; the exe contains PyInstaller's bootloader and importer."""
    reference = f"pkg:pypi/{package.name.lower()}@{package.version}"
    terms = package.metadata.get_all("License-Expression") or package.metadata.get_all("License")
    return {
        "type": "library",
        "bom-ref": reference,
        "name": package.name,
        "version": package.version,
        "purl": reference,
        **({"licenses": [{"license": {"name": terms[0]}}]} if terms else {}),
    }


def licenses(inside: Iterable[Distribution]) -> str:
    """Return the licenses of pipectl and of all components of the exe, as they require."""
    texts = [(f"CPython {platform.python_version()}", python_license())]
    for package in inside:
        files = [file for file in package.files or () if file.name.upper().startswith(("LICEN", "COPYING"))]
        texts += [(f"{package.name} {package.version}", file.read_text("utf-8")) for file in files]
    if (ROOT / "LICENSE").exists():
        texts.insert(0, (f"pipectl {__version__}", (ROOT / "LICENSE").read_text("utf-8")))
    rule = "=" * 79
    return "\n".join(f"{rule}\n{title}\n{rule}\n\n{text.strip()}\n" for title, text in texts)


def python_license() -> str:
    """Return the license in Python's installation, which includes those of its components."""
    return (Path(sys.base_prefix) / "LICENSE.txt").read_text("utf-8")


# ---- the command ----------------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    options = argparse.ArgumentParser(prog="build", description="Build pipectl.exe.")
    options.add_argument("--one-folder", action="store_true", help="build a folder, which starts faster, and its zip")
    options.add_argument("--output", type=Path, default=ROOT / "dist", metavar="DIRECTORY", help="instead of dist")
    options.add_argument("--sign", metavar="THUMBPRINT", help="sign with this certificate of the user's store")
    options.add_argument("--check", type=Path, metavar="PROGRAM", help="build nothing, and test this pipectl")
    return options


def main() -> int:
    """Run the command line, and report an error in one line."""
    arguments = parser().parse_args()
    say = functools.partial(print, file=sys.stderr)
    if sys.platform != "win32" and not arguments.check:
        say("error: the exe is built by a Windows Python: run `python3 scripts/dev.py build`")
        return 1
    try:
        if arguments.check:
            smoke_test(arguments.check.resolve(strict=True))
            return 0
        exe = build(one_folder=arguments.one_folder, output=arguments.output, thumbprint=arguments.sign)
    except (BuildError, OSError) as error:
        say("\n".join(filter(None, (getattr(error, "log", ""), f"error: {error}"))))
        return 1
    say(f"built {exe}, {exe.stat().st_size / 1e6:.1f} MB, SHA-256 {sha256(exe)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
