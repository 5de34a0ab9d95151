"""Who may import whom, as the layout promises."""

import ast
from pathlib import Path

import pytest

from content_moderator.domain import errors
from content_moderator.domain.errors import AnswerableError, ModeratorError, answerable_errors

PACKAGE = Path(__file__).parent.parent / "content_moderator"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "defaults" not in path.parts)


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def where(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def importers(package: str) -> set[str]:
    return {
        where(path)
        for path in MODULES
        if any(name == package or name.startswith(f"{package}.") for name in imports(path))
    }


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        pytest.param("requests", {"access/jwks.py", "classifiers/koala.py", "net/session.py"}, id="requests"),
        pytest.param("jwt", {"access/jwks.py", "access/token.py"}, id="jwt"),
        pytest.param(
            "urllib3",
            {"classifiers/koala.py", "net/connection.py", "net/session.py"},
            id="urllib3",
        ),
        pytest.param(
            "numpy",
            {f"classifiers/embedded_{part}.py" for part in ("explanation", "feature", "model", "opinion")}
            | {"classifiers/sentence_encoder.py"}
            | {f"evaluation/{part}.py" for part in ("measure", "plot", "report")}
            | {f"retraining/{part}.py" for part in ("fit", "report", "train")},
            id="numpy",
        ),
        pytest.param(
            "prometheus_client",
            {"metric_files.py", "metrics.py", "server_metrics.py"},
            id="prometheus_client",
        ),
        pytest.param(
            "sklearn",
            {f"evaluation/{part}.py" for part in ("plot", "report")}
            | {f"retraining/{part}.py" for part in ("fit", "report")},
            id="sklearn",
        ),
        pytest.param("matplotlib", {"evaluation/plot.py"}, id="matplotlib"),
        pytest.param("rich", {f"commands/{part}.py" for part in ("evaluate", "keys", "scan")}, id="rich"),
        pytest.param("redis", {"cache/server.py", "redis_pool.py"}, id="redis"),
        pytest.param("limits", {"access/entrance.py", "access/limit.py", "tenants.py"}, id="limits"),
        pytest.param("cryptography", {"access/jwks.py", "cache/seal.py"}, id="cryptography"),
        pytest.param(
            "rapidfuzz", {f"cache/{part}.py" for part in ("edit", "similar", "slip")}, id="rapidfuzz"
        ),
        pytest.param("yaml", {"yaml_file.py"}, id="yaml"),
        pytest.param("ahocorasick", {"text/terms.py"}, id="ahocorasick"),
        pytest.param("pycld2", {"text/language.py"}, id="pycld2"),
        pytest.param("sentencepiece", {"classifiers/sentence_encoder.py"}, id="sentencepiece"),
        pytest.param("gunicorn", set(), id="gunicorn"),
        pytest.param("content_moderator.app", set(), id="app"),
        pytest.param("content_moderator.cli.main", {"__main__.py"}, id="cli"),
    ],
)
def test_only_these_modules_import(package: str, allowed: set[str]) -> None:
    assert importers(package) == allowed


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
    """Else a plain installation does not run."""
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


def test_click_is_for_the_commands_alone() -> None:
    assert all(path == "cli.py" or path.startswith("commands/") for path in importers("click"))


@pytest.mark.parametrize("package", ["flask", "flask_smorest", "webargs", "werkzeug"])
def test_web_frameworks_stay_at_the_edge(package: str) -> None:
    assert all(path == "app.py" or path.startswith("web/") for path in importers(package))


@pytest.mark.parametrize(
    ("room", "allowed"),
    [
        pytest.param("core", {"core", "errors", "text"}, id="core is pure"),
        pytest.param("text", {"errors", "text"}, id="text"),
        pytest.param(
            "cache",
            {"cache", "core", "errors", "metrics", "outage", "redis_pool", "settings", "text"},
            id="cache",
        ),
        pytest.param(
            "classifiers",
            {
                "cache",
                "classifiers",
                "core",
                "errors",
                "extras",
                "metrics",
                "net",
                "settings",
                "text",
                "urls",
            },
            id="classifiers",
        ),
        pytest.param(
            "web",
            {
                "web",
                "access",
                "audit",
                "cache",
                "classifiers",
                "core",
                "declaration",
                "errors",
                "metrics",
                "settings",
                "tenants",
                "text",
                "validation",
            },
            id="web",
        ),
        pytest.param("evaluation", {"core", "errors", "evaluation", "scanning", "text"}, id="evaluation"),
        pytest.param(
            "retraining",
            {"classifiers", "core", "errors", "evaluation", "replacing", "retraining", "text"},
            id="retraining",
        ),
        pytest.param(
            "access",
            {
                "access",
                "errors",
                "extras",
                "metrics",
                "net",
                "outage",
                "redis_pool",
                "replacing",
                "settings",
                "urls",
                "validation",
            },
            id="access",
        ),
        pytest.param(
            "audit.py", {"access", "core", "errors", "log_writer", "metrics", "settings", "text"}, id="audit"
        ),
        pytest.param("net", {"metrics", "net"}, id="net"),
        pytest.param("outage.py", set(), id="outage"),
        pytest.param("urls.py", {"errors"}, id="urls"),
        pytest.param("redis_pool.py", {"errors", "settings"}, id="redis_pool"),
        pytest.param("scanning", {"core", "errors", "replacing", "scanning", "text"}, id="scanning"),
        pytest.param("errors/", {"errors"}, id="errors"),
        pytest.param("declaration.py", {"core", "text"}, id="declaration"),
        pytest.param("settings.py", {"core", "declaration", "errors", "text"}, id="settings"),
        pytest.param(
            "config.py", {"declaration", "errors", "settings", "validation", "yaml_file"}, id="config"
        ),
        pytest.param("yaml_file.py", {"errors"}, id="yaml_file"),
        pytest.param(
            "tenants.py",
            {"access", "config", "core", "declaration", "errors", "settings", "validation", "yaml_file"},
            id="tenants",
        ),
        pytest.param("metrics.py", {"core", "errors", "metric_files", "server_metrics"}, id="metrics"),
        pytest.param("log_writer.py", set(), id="log_writer"),
    ],
)
def test_imports_point_inward(room: str, allowed: set[str]) -> None:
    for path in MODULES:
        if where(path).startswith(room):
            inner = {name for name in imports(path) if name.startswith("content_moderator.")}
            rooms = {name.split(".")[1] for name in inner} - {"__version__"}
            assert rooms <= allowed, f"{where(path)} imports {rooms - allowed}"


def test_no_code_asks_which_environment_it_is_in() -> None:
    readers = {where(p) for p in MODULES if "MODERATOR_ENVIRONMENT" in p.read_text(encoding="utf-8")}
    assert readers == {"config.py"}, "only the loader knows the name, to find the file"


def test_every_error_has_its_own_code_and_stands_in_the_tree() -> None:
    codes = [error.code for error in answerable_errors()]
    assert len(codes) == len(set(codes))
    tree = errors.__doc__ or ""
    for error in answerable_errors():
        assert error.__name__ in tree
        assert f"{error.status}  {error.code}" in tree
    assert issubclass(AnswerableError, ModeratorError)
