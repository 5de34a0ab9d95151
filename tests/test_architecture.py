"""The rules of the architecture: imports, errors, and files that documents name."""

import ast
import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Final

from content_moderator.domain import errors
from content_moderator.domain.errors import AnswerableError, ModeratorError, answerable_errors
from tests.support.paths import ROOT

PACKAGE = ROOT / "content_moderator"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "defaults" not in path.parts)


def where(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


EXTRAS = {"redis", "cryptography", "jwt", "sklearn", "scipy", "matplotlib"}


def imported_at_once(path: Path) -> set[str]:
    """What importing a module imports: neither what its functions do nor what only a type checker sees."""
    found: set[str] = set()
    nodes = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, (ast.Try, ast.With, ast.ClassDef)):
            nodes += node.body
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test):
            nodes += node.body + node.orelse
    return found


def test_what_an_extra_installs_is_imported_only_when_asked_for() -> None:
    """Otherwise an installation without extras would not run."""
    by_name = {
        ".".join(("content_moderator", *Path(where(path)).with_suffix("").parts)): path for path in MODULES
    }
    by_name = {name.removesuffix(".__init__"): path for name, path in by_name.items()}
    pending, seen = ["content_moderator.app", "content_moderator.cli.main"], set[str]()
    while pending:
        name = pending.pop()
        if name in seen or name not in by_name:
            continue
        seen.add(name)
        found = imported_at_once(by_name[name])
        extras = {each.partition(".")[0] for each in found} & EXTRAS
        assert not extras, f"{where(by_name[name])} imports {extras}"
        pending += found
    assert len(seen) > 80, "the walk reaches the package"


def test_imports_point_inward() -> None:
    """The contracts are in setup.cfg."""
    finished = subprocess.run(
        [Path(sysconfig.get_path("scripts"), "lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout


def test_no_code_asks_which_environment_it_is_in() -> None:
    readers = {where(p) for p in MODULES if "MODERATOR_ENVIRONMENT" in p.read_text(encoding="utf-8")}
    assert readers == {"config/loader.py", "server/hooks.py"}, "to find the file, and to forget it"


def test_every_error_has_its_own_code_and_stands_in_the_tree() -> None:
    codes = [error.code for error in answerable_errors()]
    assert len(codes) == len(set(codes))
    tree = errors.__doc__ or ""
    for error in answerable_errors():
        assert error.__name__ in tree
        assert f"{error.status}  {error.code}" in tree
    assert issubclass(AnswerableError, ModeratorError)


def test_files_that_documents_name_exist() -> None:
    """Paths in backticks, and names of tests, in the README, docs/ and the decisions."""
    tests = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    missing = []
    for document in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for name in _PATH.findall(document.read_text()):
            places = (ROOT / name, ROOT / "content_moderator" / name)
            if name not in tests and not any(map(Path.exists, places)):
                missing.append(f"{document.name}: {name}")
    assert missing == []


_PATH: Final = re.compile(r"`([a-z_]+(?:/[a-z_]+)*(?:/|/?[a-z_]+\.(?:py|lua|js)))`")
