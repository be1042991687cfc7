"""The rules of the house, those that no linter knows."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HOUSE = Path(__file__).parents[1]
ROOMS = ("holdfast", "schema", "resolvers", "domain", "db", "automation")
PROJECT = tomllib.loads((HOUSE / "pyproject.toml").read_text())
LOCKS = ("requirements.lock", "requirements-dev.lock")

# Put together here, so that this file does not name them itself.
HOSTS = ("pypi" + ".org", "files.python" + "hosted", "registry.npm" + "js", "npm" + "mirror")
MACHINE_PATHS = (r"/work/\w", r"/tmp/\w+/\w+\.(md|py)\b", r"/opt/(pypi|wheels)", r"/root/\.", r"/home/\w")


def tree() -> list[Path]:
    """Return every file that is in the repository or would be."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=HOUSE,
        check=True,
        capture_output=True,
        text=True,
    )
    return [HOUSE / name for name in listing.stdout.split("\0") if name and (HOUSE / name).is_file()]


def locked(name: str) -> dict[str, str]:
    """Return the versions in a lock, by normalized name."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (HOUSE / name).read_text(), re.MULTILINE)
    return {canonicalize_name(package): version for package, version in found}


@pytest.mark.feature("S4.53")
def test_the_rooms_import_each_other_in_one_direction() -> None:
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=HOUSE,
        check=False,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("room", ROOMS)
def test_a_rooms_name_leads_to_ours_and_not_to_a_package_of_that_name(room: str) -> None:
    file = importlib.import_module(room).__file__
    assert file is not None
    assert Path(file) == HOUSE / room / "__init__.py"


def test_every_package_of_the_tree_is_installed() -> None:
    packages = {
        ".".join(path.parent.relative_to(HOUSE).parts)
        for path in tree()
        if path.name == "__init__.py" and path.relative_to(HOUSE).parts[0] in ROOMS
    }
    assert packages == set(PROJECT["tool"]["setuptools"]["packages"])


def test_no_file_names_a_registry_or_somebodys_machine() -> None:
    pattern = re.compile("|".join([*map(re.escape, HOSTS), *MACHINE_PATHS]))
    named = {
        str(path.relative_to(HOUSE)): found[0]
        for path in tree()
        if path != Path(__file__) and (found := pattern.search(path.read_text(errors="replace")))
    }
    assert named == {}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_what_the_project_asks_for(lock: str) -> None:
    wanted = PROJECT["project"]["dependencies"]
    if lock != LOCKS[0]:
        wanted = wanted + PROJECT["dependency-groups"]["dev"]
    versions = locked(lock)
    for requirement in map(Requirement, wanted):
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} is not in {lock}: make lock"
        assert requirement.specifier.contains(version), f"{requirement} against {version}: make lock"


def test_both_locks_hold_the_same_versions() -> None:
    run, dev = map(locked, LOCKS)
    assert run.items() <= dev.items()


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_locked_has_a_hash_and_no_address(lock: str) -> None:
    text = (HOUSE / lock).read_text()
    assert len(locked(lock)) == len(re.findall(r"^[^\s#].* \\\n    --hash=sha256:", text, re.MULTILINE))
    assert "://" not in text
    assert "--index" not in text


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    named = [
        path.relative_to(HOUSE)
        for path in tree()
        if path.suffix == ".py"
        and empty & set("_".join(path.relative_to(HOUSE).with_suffix("").parts).split("_"))
    ]
    assert named == []


@pytest.mark.feature("S0.23", "S2.56")
def test_one_command_lints_checks_formats_and_types_and_runs_every_test() -> None:
    makefile = (HOUSE / "Makefile").read_text()
    recipes = dict(re.findall(r"^(test|lint|types):[^\n]*\n((?:\t.*\n)+)", makefile, re.MULTILINE))
    assert "lint types && .venv/bin/pytest" in recipes["test"]
    assert all(word in recipes["lint"] for word in ("ruff check", "ruff format --check", "lint-imports"))
    assert "mypy" in recipes["types"]
    assert PROJECT["tool"]["mypy"]["strict"] is True


@pytest.mark.feature("S1.47")
def test_the_licence_is_mit_and_the_package_says_so() -> None:
    words = (HOUSE / "LICENSE").read_text()
    assert words.startswith("MIT License")
    assert "to use, copy, modify, merge, publish, distribute, sublicense, and/or sell" in " ".join(
        words.split()
    )
    assert PROJECT["project"]["license"] == "MIT"
