"""Recipes: each is valid, using one forgets the last, and the user's pictures and comments stay."""

import itertools
import subprocess
from pathlib import Path

import pytest
from tracking.made import ROOT

from cli.running import Command
from facegan.errors import FaceganError
from facegan.params_yaml import flatten, load_params, parse_params
from facegan.repository.project import Project
from facegan.repository.recipes import names, recipe
from facegan.repository.yaml_file import read_commented, text
from facegan.strict_yaml import read_yaml

NAMES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
MINE = """data:
  # my own pictures
  source: folder               # where they are
  limit: 500
  seed: 4
  synthetic: {count: 7, size: 64, seed: 9}
  folder:
    path: ../faces.zip         # on the big disk
    digest: null
  hub: {name: null, revision: null, config: null, split: train, image: image, labels: []}
  parquet: {path: null, image: image, labels: [], digest: null}
  webdataset: {path: null, labels: [], digest: null}
  kaggle:
    handle: someone/faces/versions/2
    digest: null               # never fetched

"""


@pytest.fixture
def mine(project: Project) -> Path:
    """A params.yaml with a data block of the user's own."""
    base = (project.root / "recipes/base.yaml").read_text(encoding="utf-8")
    begin, end = base.index("data:\n"), base.index("preprocess:\n")
    path = project.root / "params.yaml"
    path.write_text(base[:begin] + MINE + base[end:], encoding="utf-8")
    load_params(path)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_is_a_complete_and_valid_set_of_parameters(name: str) -> None:
    parse_params(text(recipe(ROOT, name)), name)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_says_in_its_first_line_what_it_is(name: str) -> None:
    first = (ROOT / "recipes" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ") and len(first) > 20


@pytest.mark.parametrize("name", [name for name in NAMES if name != "base"])
def test_a_recipe_is_the_base_with_its_own_values(name: str) -> None:
    base, whole = (flatten(read_yaml(text(recipe(ROOT, which)), "")) for which in ("base", name))
    own = flatten(read_yaml((ROOT / f"recipes/{name}.yaml").read_text(encoding="utf-8"), ""))
    replaced = {key for key in base if any(changed.startswith(f"{key}.") for changed in own)}  # a number by a schedule
    assert whole == {key: value for key, value in base.items() if key not in replaced} | own


def test_the_project_starts_with_the_base_recipe() -> None:
    assert text(recipe(ROOT, "base")) == (ROOT / "recipes/base.yaml").read_text(encoding="utf-8")
    assert names(ROOT)[0] == "base" and {"base", "conv-64"} <= set(names(ROOT))


def test_list_shows_every_recipe_with_what_it_is(project: Project, facegan: Command) -> None:
    ended = facegan("recipe", "list")
    lines = ended.out.splitlines()
    assert ended.code == 0
    assert [line.split()[0] for line in lines] == names(project.root)
    assert all(len(line.split()) > 4 and "#" not in line for line in lines)


@pytest.mark.parametrize("name", NAMES)
def test_show_prints_the_file_that_use_would_write(project: Project, facegan: Command, name: str) -> None:
    (project.root / "params.yaml").write_bytes((ROOT / "recipes/base.yaml").read_bytes())
    shown = facegan("recipe", "show", name)
    assert facegan("recipe", "use", name, "--with-data").code == shown.code == 0
    assert (project.root / "params.yaml").read_text(encoding="utf-8") == shown.out


@pytest.mark.parametrize("with_data", [[], ["--with-data"]], ids=["own data", "with data"])
@pytest.mark.parametrize(("first", "second"), list(itertools.pairwise([*NAMES, *NAMES[::2], *NAMES[::-1]])))
def test_using_one_and_then_another_equals_using_the_other(
    mine: Path, facegan: Command, first: str, second: str, with_data: list[str]
) -> None:
    start = mine.read_text(encoding="utf-8")
    assert facegan("recipe", "use", second, *with_data).code == 0
    expected = mine.read_text(encoding="utf-8")
    mine.write_text(start, encoding="utf-8")
    for name in (first, second, second):
        assert facegan("recipe", "use", name, *with_data).code == 0
    assert mine.read_text(encoding="utf-8") == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_users_pictures_and_all_comments_stay(mine: Path, facegan: Command, name: str) -> None:
    ended = facegan("recipe", "use", name)
    written = mine.read_text(encoding="utf-8")
    assert "data.source folder" in ended.out
    assert MINE in written
    rest = text(recipe(ROOT, name))
    base, size = text(recipe(ROOT, "base")), load_params(mine).preprocess.size
    prepared = base[base.index("preprocess:\n") : base.index("model:\n")].replace("size: 64 ", f"size: {size} ")
    before, after = rest[: rest.index("data:\n")], rest[rest.index("model:\n") :]
    assert "".join(written.split()) == "".join((before + MINE + prepared + after).split())
    assert load_params(mine).data.folder.path == "../faces.zip"


RULES = {
    "seed: 1 ": "seed: 8 ",
    "generated: 1000 ": "generated: 500 ",
    "opset: 18": "opset: 19",
    "  model: facegan  ": "  model: team  ",
    "certain: 2.0 ": "certain: 3.5 ",
    "min_side: 32 ": "min_side: 48 ",
}


@pytest.mark.parametrize("with_data", [[], ["--with-data"]], ids=["own data", "with data"])
def test_the_rules_of_a_team_stay(mine: Path, facegan: Command, with_data: list[str]) -> None:
    """A recipe for a model weakens no gate, and registers under no other name."""
    written = mine.read_text(encoding="utf-8")
    for old, new in RULES.items():
        assert written.count(old) == 1
        written = written.replace(old, new)
    mine.write_text(written, encoding="utf-8")
    before = load_params(mine)
    assert facegan("recipe", "use", "conv-128", *with_data).code == 0
    after, chosen = load_params(mine), parse_params(text(recipe(ROOT, "conv-128")))
    assert (after.seed, after.evaluate, after.export, after.promotion) == (
        before.seed, before.evaluate, before.export, before.promotion
    )  # fmt: skip
    assert (after.model, after.train, after.preprocess.size) == (chosen.model, chosen.train, 128)
    assert after.preprocess.min_side == (chosen.preprocess.min_side if with_data else 48)


def test_edits_that_git_does_not_have_are_kept_beside(mine: Path, facegan: Command) -> None:
    def git(*arguments: str) -> None:
        person = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *person, *arguments], cwd=mine.parent, check=True, capture_output=True)

    git("init")
    git("add", "--all")
    git("commit", "-m", "all")
    assert ".orig" not in facegan("recipe", "use", "conv-64").out  # committed
    assert ".orig" not in facegan("recipe", "use", "base").out  # nobody's edits
    edited = mine.read_text(encoding="utf-8").replace("seed: 1 ", "seed: 5 ")
    mine.write_text(edited, encoding="utf-8")
    assert "your uncommitted one is kept as params.yaml.orig;" in facegan("recipe", "use", "conv-64").out
    assert mine.with_name("params.yaml.orig").read_text(encoding="utf-8") == edited
    mine.write_text(edited, encoding="utf-8")
    assert "kept as params.yaml.orig2" in facegan("recipe", "use", "r3gan-64").out
    assert load_params(mine).seed == 5


def test_with_data_takes_the_recipes_own_pictures(mine: Path, facegan: Command) -> None:
    assert facegan("recipe", "use", "conv-64", "--with-data").code == 0
    assert load_params(mine).data.source == "kaggle"
    assert "my own pictures" not in mine.read_text(encoding="utf-8")


def test_comments_of_the_recipe_replace_those_of_the_base(project: Project, mine: Path, facegan: Command) -> None:
    facegan("recipe", "use", "conv-64")
    written = (project.root / "params.yaml").read_text(encoding="utf-8")
    assert "batch: 128                   # (paper)" in written
    assert "min_side: 32                 # smaller pictures are rejected" in written


def test_what_is_written_says_what_it_is(project: Project, facegan: Command) -> None:
    for name in ("conv-128", "base", "r3gan-64"):
        facegan("recipe", "use", name)
        heading = (ROOT / f"recipes/{name}.yaml").read_text(encoding="utf-8").partition("\n\n")[0]
        assert (project.root / "params.yaml").read_text(encoding="utf-8").startswith(heading + "\n\nseed:")


def test_a_project_without_params_gets_the_whole_recipe(project: Project, facegan: Command) -> None:
    (project.root / "params.yaml").unlink()
    assert facegan("recipe", "use", "base").code == 0
    assert (project.root / "params.yaml").read_bytes() == (ROOT / "recipes/base.yaml").read_bytes()


def test_a_params_file_of_which_only_the_pictures_are_valid_is_mended(mine: Path, facegan: Command) -> None:
    mine.write_text(mine.read_text(encoding="utf-8").replace("batch: 16", "batch: none"), encoding="utf-8")
    assert facegan("recipe", "use", "base").code == 0
    assert load_params(mine).data.source == "folder"


def test_pictures_that_are_not_valid_are_refused_and_nothing_is_written(mine: Path, facegan: Command) -> None:
    mine.write_text(mine.read_text(encoding="utf-8").replace("limit: 500", "limit: some"), encoding="utf-8")
    before = mine.read_bytes()
    assert "data.limit" in facegan("recipe", "use", "conv-64").error
    assert mine.read_bytes() == before


@pytest.mark.parametrize("action", ["show", "use"])
@pytest.mark.parametrize("name", ["nope", "../params", "conv-64.yaml", ""])
def test_an_unknown_recipe_is_refused_and_the_known_ones_are_named(
    project: Project, facegan: Command, action: str, name: str
) -> None:
    before = (project.root / "params.yaml").read_bytes()
    error = facegan("recipe", action, name).error
    assert repr(name) in error and ", ".join(["base", *(each for each in NAMES if each != "base")]) in error
    assert (project.root / "params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("# Mine.\ntrain:\n  bach: 3\n", "recipes/mine.yaml: train.bach is not a key"),
        ("# Mine.\ntrain:\n  batch: many\n", "train.batch"),
        ("# Mine.\ntrain: {\n", "mine.yaml is not YAML"),
        ("# Mine.\n", "mine.yaml should hold"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_refused_and_nothing_is_written(
    project: Project, facegan: Command, content: str, reason: str
) -> None:
    (project.root / "recipes/mine.yaml").write_text(content)
    before = (project.root / "params.yaml").read_bytes()
    assert reason in facegan("recipe", "use", "mine").error
    assert (project.root / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("content", ["", "\n", "train:\n  batch: 3\n"])
def test_a_recipe_without_a_heading_is_listed(project: Project, facegan: Command, content: str) -> None:
    (project.root / "recipes/mine.yaml").write_text(content)
    ended = facegan("recipe", "list")
    assert ended.code == 0
    assert "mine" in [line.split()[0] for line in ended.out.splitlines()]


def test_a_recipe_of_ones_own_may_change_one_value(project: Project, facegan: Command) -> None:
    (project.root / "params.yaml").write_bytes((ROOT / "recipes/base.yaml").read_bytes())
    (project.root / "recipes/mine.yaml").write_text("# Mine, with a larger batch.\ntrain:\n  batch: 48  # mine\n")
    assert facegan("recipe", "use", "mine", "--with-data").code == 0
    base = (ROOT / "recipes/base.yaml").read_text(encoding="utf-8")
    expected = "# Mine, with a larger batch.\n\n" + base[base.index("seed:") :].replace(
        "batch: 16\n", "batch: 48  # mine\n"
    )
    assert (project.root / "params.yaml").read_text(encoding="utf-8") == expected


def test_no_recipe_says_more_than_it_changes_or_repeats_a_key() -> None:
    for name in NAMES:
        read_commented(ROOT / f"recipes/{name}.yaml")  # refuses a key that stands twice


def test_recipes_are_found_from_below_the_root(
    project: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root / "pipeline")
    assert facegan("recipe", "use", "conv-64").code == 0
    assert load_params(project.root / "params.yaml").train.batch == 128
    with pytest.raises(FaceganError):
        recipe(project.root / "pipeline", "base")
