"""`dvc.yaml` lists, for each stage, the code that can change its result: no file too few, none too many."""

import ast
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc_data.hashfile.meta import Meta

from facegan.params_yaml import flatten
from facegan.strict_yaml import read_yaml

ROOT = Path(__file__).parents[2]
PACKAGES = {"facegan": ROOT / "src/facegan", "pipeline": ROOT / "pipeline"}

# What cannot change a result, and why.
CANNOT_CHANGE_A_RESULT = {
    "pipeline/__init__.py": "refuses a Python without facegan",
    "src/facegan/params.py": "the schema: it has no defaults, and the values are in params.yaml",
    "src/facegan/params_data.py": "likewise",
    "src/facegan/params_yaml.py": "reads params.yaml, and says what is wrong with it",
    "src/facegan/strict_yaml.py": "reads params.yaml as DVC does",
    "src/facegan/errors.py": "one exception",
    "src/facegan/processes.py": "ends what was orphaned",
    "src/facegan/startup.py": "how a process starts and ends",
    "src/facegan/progress.py": "a bar on the screen",
    "src/facegan/tracking/": "journal and MLflow: views of a training",
    "src/facegan/repository/": "finds the project, reads its parameters, asks git and DVC, prints",
}

STAGES: dict[str, dict[str, Any]] = read_yaml((ROOT / "dvc.yaml").read_text(encoding="utf-8"), "dvc.yaml")["stages"]


def file_of(module: str) -> Path | None:
    """The file of a module of this repository; None for a module of another, or for a name inside a module."""
    package, *rest = module.split(".")
    if package not in PACKAGES:
        return None
    path = PACKAGES[package].joinpath(*rest)
    if path.is_dir():
        return path / "__init__.py" if (path / "__init__.py").is_file() else None
    return path.with_suffix(".py") if path.with_suffix(".py").is_file() else None


def module_of(file: Path) -> str:
    package = next(name for name, folder in PACKAGES.items() if file.is_relative_to(folder))
    parts = file.relative_to(PACKAGES[package]).with_suffix("").parts
    return ".".join([package, *(part for part in parts if part != "__init__")])


def imported(file: Path) -> Iterator[str]:
    """Every module that a file imports, inside functions too; `from a import b` gives `a` and `a.b`.

    Imports for the type checker alone are left out: they never run.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    never_run = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    package = module_of(file) if file.name == "__init__.py" else module_of(file).rpartition(".")[0]
    for node in ast.walk(tree):
        if id(node) in never_run:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            name = ".".join([*above, *([node.module] if node.module else [])])
            yield name
            yield from (f"{name}.{alias.name}" for alias in node.names)


def closure(module: str) -> set[str]:
    """Files of this repository that run when `module` does, relative to the root."""
    waiting, found = [module], set()
    while waiting:
        name = waiting.pop()
        parents = name.split(".")
        for depth in range(1, len(parents) + 1):  # importing a.b.c runs a and a.b too
            file = file_of(".".join(parents[:depth]))
            if file is not None and file not in found:
                found.add(file)
                waiting += imported(file)
    return {file.relative_to(ROOT).as_posix() for file in found}


def matters(file: str) -> bool:
    allowed = any(file == name or (name.endswith("/") and file.startswith(name)) for name in CANNOT_CHANGE_A_RESULT)
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    empty = file.endswith("__init__.py") and all(isinstance(node, ast.Expr) for node in tree.body)  # a docstring
    return not (allowed or empty)


def code_dependencies(stage: str) -> list[str]:
    names = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in STAGES[stage]["deps"]]
    return [name for name in names if name.startswith(("src/", "pipeline/"))]


def covers(dependency: str, file: str) -> bool:
    return file == dependency or file.startswith(dependency.rstrip("/") + "/")


def written(stage: str) -> set[str]:
    entries = [*STAGES[stage].get("outs", []), *STAGES[stage].get("metrics", [])]
    return {next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries}


@pytest.mark.parametrize("stage", STAGES)
def test_every_file_that_a_stage_imports_is_a_dependency(stage: str) -> None:
    needed = {file for file in closure(f"pipeline.{stage}") if matters(file)}
    missing = [file for file in sorted(needed) if not any(covers(entry, file) for entry in code_dependencies(stage))]
    assert not missing, f"dvc.yaml lacks these dependencies of {stage}: {missing}"


@pytest.mark.parametrize("stage", STAGES)
def test_every_dependency_of_a_stage_is_imported(stage: str) -> None:
    needed = closure(f"pipeline.{stage}")
    superfluous = [entry for entry in code_dependencies(stage) if not any(covers(entry, file) for file in needed)]
    assert not superfluous, f"{stage} runs again when these change, and does not use them: {superfluous}"


@pytest.mark.parametrize("stage", STAGES)
def test_no_python_file_in_a_folder_among_the_dependencies_is_unused(stage: str) -> None:
    # A folder counts for all files below it: it may be listed only when the stage uses all of them.
    used = closure(f"pipeline.{stage}")
    below = {
        file.relative_to(ROOT).as_posix()
        for entry in code_dependencies(stage)
        if (ROOT / entry).is_dir()
        for file in (ROOT / entry).rglob("*.py")
    }
    # Read as files, not imported: what is shipped beside the model.
    unused = {file for file in below - used if matters(file) and not file.startswith("src/facegan/exporting/shipped/")}
    assert not unused, f"{stage} runs again when these change, and does not use them: {sorted(unused)}"


@pytest.mark.parametrize("stage", STAGES)
def test_dependencies_are_there_or_are_what_another_stage_writes(stage: str) -> None:
    others = set().union(*(written(other) for other in STAGES if other != stage))
    for entry in STAGES[stage]["deps"]:
        assert (ROOT / entry).exists() if entry.startswith(("src/", "pipeline/")) else entry in others, entry


def test_the_list_of_what_cannot_change_a_result_is_not_stale() -> None:
    assert all((ROOT / name).exists() for name in CANNOT_CHANGE_A_RESULT)


def test_an_import_inside_a_function_counts_and_one_for_the_type_checker_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "pipeline"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "stage.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from pipeline import never\n"
        "def work():\n    from . import late\n    import pipeline.named\n"
    )
    for name in ("never", "late", "named"):
        (package / f"{name}.py").write_text("")
    monkeypatch.setitem(PACKAGES, "pipeline", package)
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert closure("pipeline.stage") == {f"pipeline/{name}.py" for name in ("__init__", "stage", "late", "named")}


def test_every_stage_is_a_module_of_its_name_and_nothing_else_is_run() -> None:
    assert {stage: entry["cmd"] for stage, entry in STAGES.items()} == {
        stage: f"exec python -m pipeline.{stage}" for stage in STAGES
    }
    modules = {path.stem for path in PACKAGES["pipeline"].glob("*.py")} - {"__init__"}
    assert modules == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_module_says_what_it_does(stage: str) -> None:
    spec = importlib.util.find_spec(f"pipeline.{stage}")
    assert spec is not None and spec.origin is not None
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
    assert text and text.lower().startswith(stage)


HELPS = """
import contextlib, io, json, runpy, sys
found = {}
for stage in sys.argv[1:]:
    sys.argv[:] = ["", "--help"]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            runpy.run_module(f"pipeline.{stage}", run_name="__main__", alter_sys=True)
            code = None
        except SystemExit as ended:
            code = ended.code
    found[stage] = (code, out.getvalue())
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def helps() -> dict[str, tuple[int, str]]:
    """What `python -m pipeline.STAGE --help` gives for every stage; in one process, as most import torch."""
    ended = subprocess.run(
        [sys.executable, "-c", HELPS, *STAGES],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found: dict[str, tuple[int, str]] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_a_help_with_its_own_name_and_docstring(stage: str, helps: dict[str, tuple[int, str]]) -> None:
    code, out = helps[stage]
    assert code == 0
    assert out.startswith(f"usage: python -m pipeline.{stage} ")
    text = ast.get_docstring(ast.parse((PACKAGES["pipeline"] / f"{stage}.py").read_text(encoding="utf-8")))
    assert text is not None and " ".join(text.split()) in " ".join(out.split())
    assert "--debug" in out


def test_keys_that_dvcs_run_cache_does_not_look_at_stand_on_their_own() -> None:
    """Inside a block a changed `size` would bring back what another size gave."""
    ignored = {Meta.PARAM_SIZE, Meta.PARAM_NFILES}
    base = read_yaml((ROOT / "recipes/base.yaml").read_text(encoding="utf-8"), "base.yaml")
    keys = [key for key in flatten(base) if ignored & set(key.split("."))]
    assert keys == ["data.synthetic.size", "preprocess.size", "evaluate.onnx.size"]
    for stage in STAGES.values():
        for key in keys:
            assert (key.partition(".")[0] in stage["params"]) == (key in stage["params"]), key
