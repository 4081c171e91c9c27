"""The manifests of a release name its version, its files and their hashes."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

from pipectl import __version__

_SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "gen_manifests.py"


def _written(released: Path) -> dict[str, str]:
    for machine in ("x64", "arm64"):
        (released / f"pipectl-{machine}.zip").write_bytes(machine.encode())
    subprocess.run([sys.executable, _SCRIPT, "owner/name", released], check=True, timeout=60, input=b"")
    return {path.name: path.read_text("utf-8") for path in released.iterdir() if path.suffix != ".zip"}


def test_manifests_name_the_version_and_the_hash_of_each_zip(tmp_path: Path) -> None:
    written = _written(tmp_path)
    scoop = json.loads(written["pipectl.json"])
    winget = written["pipectl.pipectl.installer.yaml"]
    for machine, architecture in (("x64", "64bit"), ("arm64", "arm64")):
        url = f"https://github.com/owner/name/releases/download/v{__version__}/pipectl-{machine}.zip"
        digest = hashlib.sha256(machine.encode()).hexdigest()
        assert scoop["architecture"][architecture] == {"url": url, "hash": digest}
        assert f"InstallerUrl: {url}\n  InstallerSha256: {digest}\n" in winget
    assert scoop["version"] == __version__
    assert all(f"PackageVersion: {__version__}\n" in text for name, text in written.items() if name.endswith(".yaml"))


def test_scoop_finds_later_versions_by_itself(tmp_path: Path) -> None:
    update = json.loads(_written(tmp_path)["pipectl.json"])["autoupdate"]["architecture"]
    assert all("/v$version/" in architecture["url"] for architecture in update.values())


def test_both_find_the_program_in_the_folder_of_the_zip(tmp_path: Path) -> None:
    written = _written(tmp_path)
    scoop = json.loads(written["pipectl.json"])
    assert (scoop["extract_dir"], scoop["bin"]) == ("pipectl", "pipectl.exe")
    winget = written["pipectl.pipectl.installer.yaml"]
    assert "RelativeFilePath: pipectl\\pipectl.exe\n" in winget
    assert "ArchiveBinariesDependOnPath: true\n" in winget
    assert re.search(r"^ReleaseDate: \d{4}-\d\d-\d\d$", winget, re.MULTILINE)
    assert "Publisher: owner\n" in written["pipectl.pipectl.locale.en-US.yaml"]
