"""The workflows of CI: which actions they use, in which order, and that the files they name are there."""

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_WORKFLOWS = sorted((_ROOT / ".github" / "workflows").glob("*.yml"))
_CI = (_ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
_FORM = (_ROOT / ".github" / "ISSUE_TEMPLATE" / "bug_report.yml").read_text(encoding="utf-8")

each_workflow = pytest.mark.parametrize("path", _WORKFLOWS, ids=lambda path: path.stem)


def jobs(workflow: str) -> dict[str, str]:
    """Return the text of each job by its name."""
    parts = re.split(r"(?m)^  (\w+):$", workflow.partition("\njobs:\n")[2])
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def steps(job: str) -> list[str]:
    """Return the text of each step of a job."""
    return re.split(r"(?m)^      - ", job)[1:]


def position(job: str, words: str) -> int:
    """Return the number of the one step that has these words."""
    (found,) = [number for number, step in enumerate(steps(job)) if words in step]
    return found


@each_workflow
def test_every_action_is_pinned_by_a_commit_and_says_its_version(path: Path) -> None:
    used = re.findall(r"(?m)^\s*(?:- )?uses: (.*)$", path.read_text(encoding="utf-8"))
    assert used
    assert [use for use in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)] == []


def test_an_action_has_one_commit_in_all_workflows() -> None:
    used = {use for path in _WORKFLOWS for use in re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))}
    assert len(used) == len({use.partition("@")[0] for use in used})


@each_workflow
def test_every_job_has_a_time_limit_and_every_matrix_runs_to_its_end(path: Path) -> None:
    for job in jobs(path.read_text(encoding="utf-8")).values():
        assert "\n    timeout-minutes: " in job
        assert ("\n      matrix:" in job) == ("\n      fail-fast: false\n" in job)


@each_workflow
def test_every_script_that_a_step_runs_is_there(path: Path) -> None:
    named = re.findall(r"(?<![\w/])(?:\./)?(scripts[/\\][\w/\\.]+\.\w+)", path.read_text(encoding="utf-8"))
    assert named
    assert [name for name in named if not (_ROOT / name.replace("\\", "/")).is_file()] == []


def test_selftest_comes_before_the_suite_and_its_report_is_kept() -> None:
    job = jobs(_CI)["windows"]
    check, keep = position(job, "selftest --admin"), position(job, "upload-artifact")
    shown, suite = position(job, "GITHUB_STEP_SUMMARY"), position(job, "dev.py test")
    assert check < shown < keep < suite
    assert "continue-on-error: true" in steps(job)[check]
    assert all("if: ${{ !cancelled() }}" in steps(job)[number] for number in (shown, keep, suite))


@pytest.mark.parametrize("job", ["windows", "shells"])
def test_both_machines_are_tested(job: str) -> None:
    assert {"windows-latest", "windows-11-arm"} <= {*re.findall(r"windows-[\w-]+", jobs(_CI)[job])}


@pytest.mark.parametrize(("shell", "script"), [("cmd", "bat"), ("powershell", "ps1"), ("pwsh", "ps1"), ("bash", "sh")])
def test_every_shell_checks_the_exe_itself_and_by_ctrl_c(shell: str, script: str) -> None:
    job = jobs(_CI)["shells"]
    (step,) = [step for step in steps(job) if f"shell: {shell}\n" in step]
    assert re.search(rf"run: \S+check\.{script} dist.pipectl\.exe$", step, re.MULTILINE)
    assert shell in steps(job)[position(job, "console.py")].split()


def test_a_release_is_a_draft_until_its_files_are_there() -> None:
    job = jobs((_ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))["publish"]
    (step,) = [step for step in steps(job) if "gh release" in step]
    assert re.findall(r"gh release (\w+)", step) == ["create", "edit"]
    assert step.index("--draft ") < step.index("release/*") < step.index("--draft=false")


@pytest.mark.parametrize("words", ["--debug", "pipectl selftest --report"])
def test_the_form_for_bugs_asks_for_what_a_report_needs(words: str) -> None:
    assert words in _FORM
