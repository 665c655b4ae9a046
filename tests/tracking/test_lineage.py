"""Which changes make another training, which another row, and which neither; and what is told about a run."""

import os
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from facegan.params import Params
from facegan.params_yaml import flatten
from facegan.tracking.lineage import (
    SPEC,
    RunSpec,
    code_digest,
    environment,
    environment_tags,
    lineage_key,
    read_trained,
    training_key,
    write_trained,
)
from tracking.made import tiny_params

PARAMS = tiny_params()
KEYS = list(flatten(PARAMS.model_dump()))
TRAINING = ("seed", "model.", "train.")
SHARDS = ["1" * 64, "2" * 64]

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer")  # `changed` puts text where numbers belong


def changed(block: Any, key: str) -> Any:
    """The same parameters with another value at a dotted key, valid or not."""
    first, _, rest = key.partition(".")
    value = getattr(block, first)
    other = changed(value, rest) if isinstance(value, BaseModel) else f"not {value}"
    return block.model_copy(update={first: other})


def keys(params: Params, shards: list[str] = SHARDS, code: str = "code") -> tuple[str, str]:
    training = training_key(params, shards, code)
    return training, lineage_key(training, params)


@pytest.mark.parametrize("key", KEYS)
def test_each_parameter_changes_the_keys_that_it_should(key: str) -> None:
    before, after = keys(PARAMS), keys(changed(PARAMS, key))
    assert (after[0] != before[0]) == key.startswith(TRAINING)
    assert (after[1] != before[1]) == (not key.startswith("promotion."))  # a row for every change of a run


def test_the_code_and_each_shard_change_both_keys() -> None:
    variants = [keys(PARAMS), keys(PARAMS, code="other"), keys(PARAMS, SHARDS[:1]), keys(PARAMS, ["3" * 64, SHARDS[1]])]
    assert len({training for training, _ in variants}) == len({lineage for _, lineage in variants}) == len(variants)


def test_the_order_of_the_shards_changes_neither_key() -> None:
    assert keys(PARAMS, SHARDS[::-1]) == keys(PARAMS)


def test_keys_are_the_same_in_every_process() -> None:
    assert keys(PARAMS) == keys(tiny_params())
    assert all(re.fullmatch("[0-9a-f]{64}", key) for key in keys(PARAMS))


TREES = st.dictionaries(
    st.sampled_from(["a.py", "b.py", "deep/a.py", "deep/b.py", "deep/er/c.py"]), st.binary(max_size=8), min_size=1
)


def put(root: Path, tree: dict[str, bytes]) -> Path:
    for name, content in tree.items():
        path = root / "code" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


@settings(max_examples=40)
@given(TREES)
def test_the_digest_of_code_does_not_depend_on_where_it_lies(tree: dict[str, bytes]) -> None:
    with TemporaryDirectory() as here, TemporaryDirectory() as there:
        first = code_digest(put(Path(here), tree), ["code"])
        other = Path(there, "other folder")
        assert code_digest(put(other, dict(reversed(tree.items()))), ["code"]) == first
        files = [f"code/{name}" for name in tree]
        assert code_digest(other, files) == code_digest(other, [*files, "code"]) == first


@settings(max_examples=40)
@given(TREES, st.data())
def test_the_digest_of_code_sees_every_file(tree: dict[str, bytes], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(tree)))
    with TemporaryDirectory() as folder:
        root = put(Path(folder), tree)
        before = code_digest(root, ["code"])
        path = root / "code" / name
        path.write_bytes(tree[name] + b"#")
        assert code_digest(root, ["code"]) != before
        path.unlink()
        assert code_digest(root, ["code"]) != before
        path.with_name("renamed.py").write_bytes(tree[name])
        assert code_digest(root, ["code"]) != before


def test_the_digest_of_code_sees_no_compiled_files_and_no_dates(tmp_path: Path) -> None:
    root = put(tmp_path, {"a.py": b"1"})
    before = code_digest(root, ["code"])
    put(root, {"__pycache__/a.cpython-311.pyc": b"compiled"})
    os.utime(root / "code/a.py", (0, 0))
    assert code_digest(root, ["code"]) == before


def test_the_digest_of_code_sees_where_a_content_lies(tmp_path: Path) -> None:
    first = code_digest(put(tmp_path / "1", {"a.py": b"x", "b.py": b"y"}), ["code"])
    assert code_digest(put(tmp_path / "2", {"a.py": b"y", "b.py": b"x"}), ["code"]) != first


def test_code_that_is_listed_and_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        code_digest(tmp_path, ["src/gone.py"])


def test_a_run_is_named_and_tagged_by_its_keys_and_holds_every_parameter() -> None:
    training, lineage = keys(PARAMS)
    spec = RunSpec.of(PARAMS, training, 32, "one", {"mine": "too"})
    assert spec.lineage == lineage
    assert spec.name == f"conv 32px {lineage[:8]}"
    assert spec.tags == {"facegan.lineage": lineage, "facegan.training_key": training, "mine": "too"}
    assert spec.params == {
        key: value for key, value in flatten(PARAMS.model_dump()).items() if key[:10] != "promotion."
    }
    assert (spec.params["train.batch"], spec.params["data.limit"]) == (8, None)


def test_a_run_read_from_its_folder_is_the_one_that_was_written(tmp_path: Path) -> None:
    spec = RunSpec.of(PARAMS, "b" * 64, 32, "one", {"mine": "für mich"})
    spec.write(tmp_path)
    shutil.move(tmp_path / SPEC, tmp_path / "elsewhere")
    (tmp_path / "deeper").mkdir()
    shutil.move(tmp_path / "elsewhere", tmp_path / "deeper" / SPEC)
    assert RunSpec.read(tmp_path / "deeper") == spec


def test_one_environment_is_not_mixed_however_often_it_started() -> None:
    here = environment("CPU", 2)
    assert environment_tags([here, dict(here), here])["facegan.bits"] == "one environment"


@pytest.mark.parametrize(
    "other",
    [
        {"device": "NVIDIA H200"},
        {"threads": 1},
        {"processor": "another"},
        {"python": "3.99"},
        {"versions": {"torch": "0"}},
    ],
)
def test_a_resume_in_any_other_environment_is_mixed(other: dict[str, Any]) -> None:
    here = environment("CPU", 2)
    for starts in ([here, here | other], [here | other, here], [here, here | other, here]):
        assert environment_tags(starts)["facegan.bits"] == "mixed"


def test_a_training_that_never_started_has_no_environment() -> None:
    assert environment_tags([]) == {}


def test_the_environment_is_told_without_a_host_name_or_a_path() -> None:
    told = str(environment("CPU", 2))
    assert os.uname().nodename not in told
    assert str(Path.home()) not in told


def test_where_a_training_ran_is_kept_for_its_run(tmp_path: Path) -> None:
    starts = [{"kind": "start", "environment": {"threads": threads}} for threads in (2, 1)]
    write_trained(tmp_path, "k", "mine", "digest", [starts[0], {"kind": "end"}, starts[1]])
    assert environment_tags(read_trained(tmp_path, "k")[1])["facegan.bits"] == "mixed"
    assert read_trained(tmp_path, "k")[0] == read_trained(tmp_path, "k", "digest")[0] == "mine"
    assert read_trained(tmp_path, "k", "of other weights") == (None, [])
    assert read_trained(tmp_path, "of another machine") == (None, [])
