"""Write the manifests with which winget and Scoop install a release, from the templates in scripts/release.

`gen_manifests.py OWNER/REPOSITORY DIRECTORY` reads pipectl-x64.zip and pipectl-arm64.zip in the directory for their
hashes, and writes winget's manifests and Scoop's pipectl.json to it. Both install the folder, which starts faster than
the one-file exe, because nothing has to be unpacked.
"""

import hashlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from string import Template

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "scripts" / "release"
sys.path.insert(0, str(ROOT))

from pipectl import __version__  # noqa: E402 - after the path is set


def manifests(repository: str, released: Path) -> dict[str, str]:
    """Return the manifests by file name."""
    files = {machine: released / f"pipectl-{machine}.zip" for machine in ("x64", "arm64")}
    facts = {machine: hashlib.sha256(file.read_bytes()).hexdigest() for machine, file in files.items()}
    facts |= {"version": __version__, "repository": repository, "owner": repository.partition("/")[0]}
    facts["date"] = datetime.now(UTC).date().isoformat()
    templates = {path.name: path for path in sorted((TEMPLATES / "winget").iterdir())}
    templates["pipectl.json"] = TEMPLATES / "scoop.json"
    return {name: Template(path.read_text("utf-8")).substitute(facts) for name, path in templates.items()}


def main(repository: str, directory: str) -> None:
    """Write the manifests."""
    for name, text in manifests(repository, Path(directory)).items():
        (Path(directory) / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"Usage: {sys.argv[0]} OWNER/REPOSITORY DIRECTORY")
    main(*sys.argv[1:])
