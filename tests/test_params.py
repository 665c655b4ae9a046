"""``params.yaml``: read as DVC reads it, complete or refused, and every refusal is one line that helps."""

import copy
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import modify_yaml, parse_yaml
from dvc.utils.serialize._yaml import dumps_yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from facegan.errors import FaceganError
from facegan.networks import stylegan2
from facegan.params import DEVIATION_GROUP, Params, Schedule
from facegan.params_data import DataParams
from facegan.params_yaml import flatten, load_params, parse_params, validate_params
from facegan.repository.recipes import recipe
from facegan.repository.yaml_file import text
from facegan.strict_yaml import read_yaml

BASE = Path(__file__).parents[1] / "recipes" / "base.yaml"
VALUES: dict[str, Any] = read_yaml(BASE.read_text(encoding="utf-8"), "base.yaml")
LEAVES = flatten(VALUES)
BLOCKS = sorted({key.rpartition(".")[0] for key in LEAVES} | {"data", "model", "evaluate"})


def changed(key: str, value: Any) -> dict[str, Any]:
    """The base recipe with one key set."""
    values = copy.deepcopy(VALUES)
    *path, last = key.split(".")
    block = values
    for name in path:
        block = block[name]
    block[last] = value
    return values


def without(key: str) -> dict[str, Any]:
    values = copy.deepcopy(VALUES)
    *path, last = key.split(".")
    block = values
    for name in path:
        block = block[name]
    del block[last]
    return values


def refusal(validate: Callable[[], object]) -> str:
    """The one line with which something is refused."""
    with pytest.raises(FaceganError) as caught:
        validate()
    line = str(caught.value)
    assert len(line.splitlines()) == 1, line
    return line


def refused(key: str, value: Any) -> str:
    return refusal(lambda: validate_params(changed(key, value), "params.yaml"))


# What is read


def same(ours: Any, theirs: Any) -> bool:
    """Equal in value, type and order: 1 is not 1.0 and not True."""
    if type(ours) is not type(theirs):
        return False
    if isinstance(ours, dict):
        return list(ours) == list(theirs) and all(
            same(*pair) for name in ours for pair in ((ours[name], theirs[name]), _key(name, ours, theirs))
        )
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, float) and math.isnan(ours):
        return math.isnan(theirs)
    return bool(ours == theirs)


def _key(name: Any, ours: dict[Any, Any], theirs: dict[Any, Any]) -> tuple[Any, Any]:
    return next(key for key in ours if key == name), next(key for key in theirs if key == name)


def assert_read_as_dvc_reads(text: str) -> None:
    """Both see the same, or both refuse."""
    try:
        theirs = parse_yaml(text, "params.yaml")
    except Exception:
        refusal(lambda: read_yaml(text, "params.yaml"))
    else:
        ours = read_yaml(text, "params.yaml")
        assert same(ours, theirs), f"{text!r}: {ours!r} to facegan, {theirs!r} to DVC"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-4", 2e-4),
        ("2.0e-4", 2e-4),
        ("1E5", 1e5),
        ("1e+5", 1e5),
        ("5.", 5.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("+.INF", math.inf),
        (".nan", math.nan),
        ("0777", 777),
        ("0o17", 15),
        ("-0x1F", -31),
        ("0b101", 5),
        ("1_000", 1000),
        ("1_0.5", 10.5),
        ("12:30", "12:30"),
        ("190:20:30.15", "190:20:30.15"),
        ("on", "on"),
        ("No", "No"),
        ("y", "y"),
        ("True", True),
        ("TRUE", True),
        ("tRUE", "tRUE"),
        ("~", None),
        ("Null", None),
        ("", None),
        ("nULL", "nULL"),
        ("'2e-4'", "2e-4"),
        ("inf", "inf"),
        ("0.0.1", "0.0.1"),
    ],
)
def test_a_scalar_is_what_yaml_1_2_and_dvc_say(text: str, value: object) -> None:
    assert_read_as_dvc_reads(f"key: {text}\n")
    assert same(read_yaml(f"key: {text}\n", "params.yaml"), {"key": value})


NUMBERS = st.text("0123456789+-._eExXoObB", min_size=1, max_size=9)
SCALARS = st.one_of(
    NUMBERS,
    st.text("0123456789:+-._eEainfNtrueTRUsonyl~=<! ", max_size=9),
    st.floats().map(str),
    st.integers().map(str),
    st.dates().map(str),
    st.sampled_from(["2e-4", "on", "0777", "1_000", "0o17", "12:30", ".inf", "=", "-", "0x", "_", "-_", "!!int 0o7"]),
)


@given(SCALARS)
@settings(max_examples=400)
def test_the_loader_sees_the_scalar_that_dvc_sees(scalar: str) -> None:
    assert_read_as_dvc_reads(f"key: {scalar}\n")


@given(NUMBERS, NUMBERS)
@settings(max_examples=200)
def test_the_loader_sees_the_keys_and_lists_that_dvc_sees(one: str, two: str) -> None:
    assert_read_as_dvc_reads(f"block:\n  {one}: [{two}, {one}]\n  {two}: end\n")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="ascii")),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_.1", min_size=1), inner, max_size=3),
        max_leaves=8,
    )
)
def test_what_dvc_writes_is_read_as_it_was_meant(value: object) -> None:
    text = dumps_yaml({"key": value})
    assert_read_as_dvc_reads(text)
    assert same(read_yaml(text, "params.yaml"), {"key": value})


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2\n",
        "a:\n  b: 1\n  b: 1\n",
        "{a: 1, a: 2}\n",
        "0o7: 1\n7: 2\n",
        "a: &x {b: 1}\nc: *x\n",
        "a: 1\n---\nb: 2\n",
        "a: [1\n",
        "\ta: b\n",
        "a: 'open\n",
        "a: @x\n",
        "a: *missing\n",
        "a: !!python/object/apply:os.getcwd []\n",
        "a: 1\r\nb: on\r\n",
        "\ufeffa: 1\n",
        "a: \x00\n",
        "a: \x07\n",
        "{a: 1}: 2\n",
    ],
)
def test_an_odd_document_is_read_or_refused_as_by_dvc(text: str) -> None:
    assert_read_as_dvc_reads(text)


@pytest.mark.parametrize(
    "text", ["%YAML 1.1\n---\na: on\n", "a: &x {b: 1}\nc:\n  <<: *x\n", "a: x\x85b\n", "? [a]\n: 1\n", "a: =\n"]
)
def test_what_dvc_alone_understands_is_refused_and_not_read_otherwise(text: str) -> None:
    try:
        ours = read_yaml(text, "params.yaml")
    except FaceganError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert same(ours, parse_yaml(text, "params.yaml"))


def test_a_key_that_stands_twice_is_refused_with_its_line() -> None:
    text = BASE.read_text(encoding="utf-8").replace("  limit: null", "  limit: null\n  limit: 5")
    line = refusal(lambda: parse_params(text))
    assert line.startswith("params.yaml line ")
    assert "'limit' stands twice" in line
    assert text.splitlines()[int(line.split()[2].rstrip(":")) - 1].startswith("  limit: 5")


def test_a_syntax_error_names_file_and_line() -> None:
    assert refusal(lambda: parse_params("seed: 1\ndata: [\n", "mine.yaml")).startswith("mine.yaml line ")


def test_a_parameter_set_through_dvc_is_what_the_stage_sees(tmp_path: Path) -> None:
    """``dvc exp run -S train.lr_generator=2e-4`` goes through DVC's own reader and writer."""
    path = tmp_path / "params.yaml"
    path.write_text(BASE.read_text(encoding="utf-8"))
    with modify_yaml(path) as values:
        values["train"]["lr_generator"] = 5e-05
        values["train"]["tick"] = "2 epochs"
        values["evaluate"]["inception"]["weights"] = "on"
        values["data"]["folder"]["digest"] = "1" * 64
    params = load_params(path)
    assert (params.train.lr_generator, params.train.tick, params.evaluate.inception.weights) == (5e-5, "2 epochs", "on")
    assert params.data.folder.digest == "1" * 64


# What is complete


def blocks(kind: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    yield prefix, kind
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from blocks(field.annotation, f"{prefix}.{name}".lstrip("."))


def test_the_base_recipe_is_valid_and_says_every_key_of_the_schema(params: Params) -> None:
    dumped = params.model_dump()
    assert flatten(dumped).keys() == LEAVES.keys()
    assert flatten(dumped) == LEAVES


def test_the_schema_has_no_defaults() -> None:
    optional = [
        f"{prefix}.{name}"
        for prefix, kind in blocks(Params)
        for name, field in kind.model_fields.items()
        if not field.is_required()
    ]
    assert optional == []


@pytest.mark.parametrize("key", [*LEAVES, *filter(None, BLOCKS)])
def test_a_missing_key_is_an_error_that_names_it(key: str) -> None:
    line = refusal(lambda: validate_params(without(key), "params.yaml"))
    assert line.startswith(f"params.yaml: {key}: missing")


@pytest.mark.parametrize("text", ["", "- 1\n", "seed\n", "null\n", "3\n"])
def test_a_file_without_blocks_is_refused(text: str) -> None:
    assert "must hold the blocks seed, data" in refusal(lambda: parse_params(text))


def test_a_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    line = refusal(lambda: load_params(tmp_path / "params.yaml"))
    assert line.startswith("params.yaml is missing")
    assert "facegan recipe use base" in line


def test_a_file_that_is_not_utf_8_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(BASE.read_bytes() + "# café\n".encode("latin-1"))
    assert refusal(lambda: load_params(path)).startswith("params.yaml")


# What is unknown


@pytest.mark.parametrize("block", BLOCKS)
def test_an_unknown_key_is_refused_in_every_block(block: str) -> None:
    key = f"{block}.nope".lstrip(".")
    assert refused(key, 3).startswith(f"params.yaml: {key}: unknown key")


@pytest.mark.parametrize("key", LEAVES)
def test_a_misspelt_key_is_answered_with_the_nearest_one(key: str) -> None:
    *_, name = key.split(".")
    for misspelt in (f"{key}s", key.replace(name, name[:-1] + "-" + name[-1]), key.replace(name, name.title())):
        if misspelt in LEAVES:
            continue
        line = refused(misspelt, LEAVES[key])
        assert line == f"params.yaml: {misspelt}: unknown key; did you mean {key}?"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("train.batch_size", "train.batch"),
        ("train.lr", "train.lr_generator"),
        ("model.generator.channel", "model.generator.channels"),
        ("preprocess.heldout", "preprocess.held_out"),
        ("batch", "train.batch"),
        ("held_out", "preprocess.held_out"),
        ("train.beta1", "train.beta1_generator"),
        ("train.ema", "train.ema_kimg"),
        ("data.folder.pat", "data.folder.path"),
        ("evaluate.weights", "evaluate.inception.weights"),
    ],
)
def test_a_key_as_people_would_write_it_is_answered_with_the_right_one(written: str, meant: str) -> None:
    assert refused(written, 1) == f"params.yaml: {written}: unknown key; did you mean {meant}?"


def test_a_renamed_key_is_reported_as_unknown_before_it_is_missed() -> None:
    values = without("train.batch")
    values["train"]["batchsize"] = 32
    line = refusal(lambda: validate_params(values, "params.yaml"))
    assert line == "params.yaml: train.batchsize: unknown key; did you mean train.batch? (and 1 more)"


# What is wrong


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", "1"),
        ("seed", 1.0),
        ("seed", True),
        ("seed", None),
        ("train.batch", 32.0),
        ("train.batch", "32"),
        ("train.flip", 1),
        ("train.flip", "on"),
        ("train.flip", "yes"),
        ("train.lr_generator", "2e-4 "),
        ("train.lr_generator", True),
        ("train.tick", 4),
        ("preprocess.size", "64"),
        ("preprocess.size", 64.0),
        ("preprocess.size", True),
        ("preprocess.size", [64]),
        ("preprocess.size", [128, 96, 3]),
        ("preprocess.size", [128, "96"]),
        ("preprocess.deduplicate", "true"),
        ("data.synthetic", 3),
        ("model.generator", None),
        ("model", [1]),
        ("train", "conv"),
        ("data.folder.path", 7),
        ("evaluate.inception.weights", ["a"]),
    ],
)
def test_a_value_of_another_type_is_refused_and_never_converted(key: str, value: object) -> None:
    line = refused(key, value)
    assert line.startswith(f"params.yaml: {key}: ")
    assert repr(value) in line
    assert "Params" not in line  # the names of our classes mean nothing to the reader


def test_a_whole_number_stands_for_a_float() -> None:
    assert validate_params(changed("train.ema_kimg", 2), "params.yaml").train.ema_kimg == 2.0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", -1),
        ("seed", 2**63),
        ("data.limit", 0),
        ("data.seed", -1),
        ("data.source", "kagle"),
        ("data.synthetic.count", 0),
        ("data.synthetic.size", 63),
        ("data.synthetic.size", 257),
        ("data.folder.digest", "abc"),
        ("data.folder.digest", "G" * 64),
        ("data.folder.digest", "A" * 64),
        ("data.folder.digest", "a" * 64 + "\n"),
        ("data.kaggle.handle", "splcher/animefacedataset"),
        ("data.kaggle.handle", "splcher/animefacedataset/versions/0"),
        ("data.kaggle.handle", "../etc/versions/3/x"),
        ("preprocess.size", 16),
        ("preprocess.size", 100),
        ("preprocess.size", 2048),
        ("preprocess.size", [64, 64]),
        ("preprocess.filter", "nearest"),
        ("preprocess.min_side", 0),
        ("preprocess.held_out", -0.1),
        ("preprocess.held_out", 0.51),
        ("preprocess.held_out", math.nan),
        ("preprocess.max_reject_fraction", 1.01),
        ("preprocess.max_reject_fraction", math.nan),
        ("model.network", "transformer"),
        ("model.latent", 0),
        ("model.latent", 4097),
        ("model.generator.channels", 0),
        ("model.discriminator.channels", 1025),
        ("train.duration", "0 kimg"),
        ("train.duration", "80"),
        ("train.duration", "80kimg"),
        ("train.duration", "-1 kimg"),
        ("train.duration", "1e3 kimg"),
        ("train.tick", "4 Kimg"),
        ("train.evaluate_every", "0.0 epochs"),
        ("train.batch", 1),
        ("train.precision", "fp16"),
        ("train.objective", "lsgan"),
        ("train.lr_generator", 0.0),
        ("train.lr_discriminator", math.inf),
        ("train.lr_discriminator", math.nan),
        ("train.beta1_generator", 1.0),
        ("train.beta2_discriminator", -0.1),
        ("train.beta2_generator", math.nan),
        ("train.discriminator_steps", 0),
        ("train.label_smoothing", 0.5),
        ("train.penalty_every", 0),
        ("train.penalty_every", 16),  # of no penalty
        ("train.gradient_penalty", -1.0),
        ("train.r1", 1.0),  # with batch norm
        ("train.augment", "color"),
        ("model.generator.norm", "spectral"),
        ("model.generator.upsample", "nearest"),
        ("model.discriminator.norm", "conditional"),
        ("model.discriminator.dropout", 1.0),
        ("train.ema_kimg", -1.0),
        ("train.ema_kimg", math.inf),
        ("train.samples", 0),
        ("train.samples", 1025),
        ("evaluate.extractor", "resnet"),
        ("evaluate.generated", 1),
        ("evaluate.inception.sha256", None),
        ("export.opset", 17),
        ("export.opset", 24),
        ("export.tolerance", 0.0),
        ("export.samples", 0),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_key_with_what_was_written(key: str, value: object) -> None:
    line = refused(key, value)
    assert line.startswith(f"params.yaml: {key}: ")
    assert repr(value) in line or str(value) in line


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 2**63 - 1),
        ("data.limit", 1),
        ("data.synthetic.size", 256),
        ("data.folder.digest", "0" * 64),
        ("preprocess.size", 32),
        ("preprocess.size", 1024),
        ("preprocess.size", [128, 96]),
        ("preprocess.held_out", 0.0),
        ("preprocess.held_out", 0.5),
        ("preprocess.max_reject_fraction", 1.0),
        ("train.duration", "25 epochs"),
        ("train.tick", "1 epoch"),
        ("train.tick", "0.5 kimg"),
        ("train.beta1_generator", 0.0),
        ("train.ema_kimg", 0.0),
        ("train.augment", ["color", "cutout"]),
        ("export.opset", 23),
    ],
)
def test_the_ends_of_a_range_are_allowed(key: str, value: object) -> None:
    assert flatten(validate_params(changed(key, value), "params.yaml").model_dump())[key] == value


@pytest.mark.parametrize("path", [None, ""])
def test_a_folder_source_needs_a_path(path: str | None) -> None:
    values = changed("data.source", "folder")
    values["data"]["folder"]["path"] = path
    line = refusal(lambda: validate_params(values, "params.yaml"))
    assert line == "params.yaml: data.folder.path: must name a folder, .zip or .tar when data.source is folder"


def test_a_path_that_looks_like_a_date_is_the_text_that_was_written() -> None:
    text = BASE.read_text(encoding="utf-8").replace("    path: null ", "    path: 2024-01-31 ")
    assert parse_params(text).data.folder.path == "2024-01-31"


def test_several_problems_are_counted() -> None:
    values = changed("train.batch", 1)
    values["seed"] = -1
    assert refusal(lambda: validate_params(values, "params.yaml")).endswith("(and 1 more)")


@given(
    st.sampled_from(sorted(LEAVES)),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
@example("data.folder.path", "a\nb")
@example("train.objective", "a\nb")
@example("data.kaggle.handle", "a\nb")
@example("train.duration", "9" * 400 + " kimg")
@settings(max_examples=300)
def test_any_value_is_accepted_as_it_is_or_refused_in_one_line(key: str, value: object) -> None:
    try:
        params = validate_params(changed(key, value), "params.yaml")
    except FaceganError as error:
        assert str(error).startswith(f"params.yaml: {key}")
        assert len(str(error).splitlines()) == 1
    else:
        assert flatten(params.model_dump())[key] == value


# What a value is


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_is_frozen(block: str, params: Params) -> None:
    value: Any = params
    for name in filter(None, block.split(".")):
        value = getattr(value, name)
    name, old = next(iter(value))
    with pytest.raises(ValidationError):
        setattr(value, name, old)
    with pytest.raises(ValidationError):
        value.new = 1


def test_equal_parameters_are_equal_values(params: Params, base_recipe: str) -> None:
    again = parse_params(base_recipe)
    assert again == params
    assert hash(again) == hash(params)
    assert isinstance(params.data, DataParams)


def test_flatten_names_a_key_as_it_is_written() -> None:
    assert flatten({"seed": 1, "a": {"b": {"c": None}, "d": [1]}}) == {"seed": 1, "a.b.c": None, "a.d": [1]}


@pytest.mark.parametrize(
    ("tick", "evaluate_every", "fits"),
    [
        ("4 kimg", "8 kimg", True),
        ("0.1 kimg", "0.3 kimg", True),
        ("1 epoch", "3 epochs", True),
        ("4 kimg", "1 epoch", True),  # how many images an epoch has is not known here
        ("4 kimg", "6 kimg", False),
        ("4 kimg", "1 kimg", False),
        ("2 epochs", "1 epoch", False),
    ],
)
def test_scores_fall_on_ticks(tick: str, evaluate_every: str, fits: bool) -> None:
    values = changed("train.tick", tick)
    values["train"]["evaluate_every"] = evaluate_every
    if fits:
        validate_params(values, "params.yaml")
    else:
        with pytest.raises(FaceganError, match=r"train\.evaluate_every: .* should be a whole number of ticks"):
            validate_params(values, "params.yaml")


SCHEDULE = {"start": 2.0e-4, "end": 5.0e-5, "over": "20 kimg", "shape": "cosine"}


@pytest.mark.parametrize("key", ["lr_generator", "beta2_discriminator", "ema_kimg"])
def test_a_number_may_be_a_schedule(key: str) -> None:
    params = validate_params(changed(f"train.{key}", SCHEDULE), "params.yaml")
    assert getattr(params.train, key) == Schedule(**SCHEDULE)
    flat = flatten(params.model_dump())
    assert {flat[f"train.{key}.{part}"] for part in SCHEDULE} == set(SCHEDULE.values())


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("lr_generator", {"end": 0.0}, "train.lr_generator: a schedule should stay above 0"),
        ("beta1_generator", {"start": 1.0}, "train.beta1_generator: a schedule should stay below 1"),
        ("ema_kimg", {"over": "0 kimg"}, "train.ema_kimg.over: '0 kimg' is nothing"),
        ("ema_kimg", {"over": "20"}, "train.ema_kimg.over: '20' should be a number and a unit"),
        ("ema_kimg", {"shape": "steps"}, "train.ema_kimg.shape: 'steps' should be 'linear' or 'cosine'"),
        ("ema_kimg", {"start": -1.0}, "train.ema_kimg.start: -1.0 should be greater than or equal to 0"),
        ("ema_kimg", {"ends": 1.0}, "train.ema_kimg.ends: unknown key"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(key: str, change: dict[str, object], words: str) -> None:
    line = refusal(lambda: validate_params(changed(f"train.{key}", SCHEDULE | change), "params.yaml"))
    assert line.startswith(f"params.yaml: {words}")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objective": "hinge", "label_smoothing": 0.1}, "train.label_smoothing: 0.1 goes with train.objective 'bce'"),
        ({"r2": 0.5}, "train.r2: 0.5 does not go with model.discriminator.norm 'batch'"),
        ({"microbatch": 5}, "train.microbatch: 5 should divide train.batch (16)"),
        ({"microbatch": 1}, "train.microbatch: 1"),
    ],
)
def test_combinations_that_cannot_work_are_refused_with_the_reason(changes: dict[str, object], words: str) -> None:
    values = changed("train.batch", 16)
    values["train"] |= changes
    line = refusal(lambda: validate_params(values, "params.yaml"))
    assert line.startswith(f"params.yaml: {words}")


def test_a_microbatch_holds_whole_groups_of_pictures_that_are_compared() -> None:
    values = read_yaml(text(recipe(BASE.parents[1], "stylegan2-64")), "stylegan2-64")
    values["train"] |= {"batch": 12, "microbatch": 6}
    line = refusal(lambda: validate_params(values, "params.yaml"))
    assert line.startswith("params.yaml: train.microbatch: 6 should be a multiple of 4, the group in which")
    assert DEVIATION_GROUP == stylegan2.GROUP


@pytest.mark.parametrize(
    ("labels", "norm", "words"),
    [
        (["hair"], "batch", "model.labels: labels do not go with model.generator.norm 'batch'"),
        ("all", "batch", "model.labels: labels do not go with model.generator.norm 'batch'"),
        (["hair", "hair"], "conditional", "model.labels: ['hair', 'hair'] should be all, or different labels"),
        ("hair", "conditional", "model.labels: 'hair' should be all, or different labels"),
        ([1], "conditional", "model.labels: [1] should be all, or different labels"),
    ],
)
def test_labels_that_make_no_sense_are_refused(base_recipe: str, labels: Any, norm: str, words: str) -> None:
    values = read_yaml(base_recipe, "base")
    values["model"]["labels"], values["model"]["generator"]["norm"] = labels, norm
    with pytest.raises(FaceganError, match=re.escape(words)):
        validate_params(values, "params.yaml")
    values["model"]["labels"], values["model"]["generator"]["norm"] = ["hair"], "conditional"
    assert validate_params(values, "params.yaml").model.labels == ("hair",)
