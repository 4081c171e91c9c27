"""Write the manifests by which winget and Scoop install a release, from the templates in scripts/release.

`gen_manifests.py OWNER/REPOSITORY DIRECTORY` reads pipectl-x64.exe and pipectl-arm64.exe in the directory, for their
hashes, and writes winget's manifests and pipectl.json, Scoop's, beside them.
"""

import hashlib
import sys
from pathlib import Path
from string import Template

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "scripts" / "release"
sys.path.insert(0, str(ROOT))

from pipectl import __version__  # noqa: E402 - after the path is set


def manifests(repository: str, released: Path) -> dict[str, str]:
    """Give each manifest by its file name."""
    exes = {machine: released / f"pipectl-{machine}.exe" for machine in ("x64", "arm64")}
    hashes = {machine: hashlib.sha256(exe.read_bytes()).hexdigest() for machine, exe in exes.items()}
    templates = {path.name: path for path in sorted((TEMPLATES / "winget").iterdir())}
    templates["pipectl.json"] = TEMPLATES / "scoop.json"
    return {
        name: Template(path.read_text("utf-8")).substitute(hashes, version=__version__, repository=repository)
        for name, path in templates.items()
    }


def main(repository: str, directory: str) -> None:
    """Write the manifests."""
    for name, text in manifests(repository, Path(directory)).items():
        (Path(directory) / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"Usage: {sys.argv[0]} OWNER/REPOSITORY DIRECTORY")
    main(*sys.argv[1:])
