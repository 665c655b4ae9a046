"""The demo's page; `facegan demo` starts it."""

import argparse
import math
from pathlib import Path

import numpy as np
import streamlit as st

from facegan.demo.faces import DIRECTIONS, Faces, png, shown
from facegan.exporting.shipped.generate import grid, rgb
from facegan.film import gif, mp4, walk_frames
from facegan.repository.project import SHARDS
from facegan.serving.model import Model, Source, to_stderr

ANY = "any"
NEAREST = 5
RELOAD = 10.0  # seconds between looks at the alias
MOVES = [f"move-{number}" for number in range(DIRECTIONS)]
KEPT = [*MOVES, "count", "other", "share", "at-once", "between"]  # what is set in places that are closed


@st.cache_resource(show_spinner="loading the model")
def _source(where: str) -> Source:
    source = Source(where, to_stderr)
    if source.refreshes:
        source.watch(RELOAD)
    return source


@st.cache_resource(show_spinner="finding directions")
def _faces(_model: Model, name: str) -> Faces:
    return Faces(_model.generator)


def main() -> None:
    options = _options()
    st.set_page_config(page_title="facegan", page_icon="🎨", layout="centered")
    model = _source(options.model).model
    faces = _faces(model, model.name)
    st.title("Faces by facegan")
    st.caption(f"{model.name}, {model.height}x{model.width} pixels, drawn on this machine's CPU")

    with st.sidebar:
        st.header("What to draw")
        seed = int(st.number_input("Seed", 0, 2**31 - 1, 3, help="the same seed draws the same face"))
        truncation = st.slider("Truncation", 0.0, 1.5, 1.0, 0.05, help="below 1 is safer and less varied")
        asked = [
            f"{name}={choice}"
            for name, classes in model.generator.names.items()
            if (choice := st.selectbox(name.replace("_", " "), [ANY, *classes])) != ANY
        ]
    labels = model.generator.labels(asked)
    for key in KEPT:
        if key in st.session_state:
            st.session_state[key] = st.session_state[key]  # else Streamlit forgets what it does not draw
    face, several, mixing, walk, copying, card = st.tabs(
        ["A face", "A grid", "Mix two", "A walk", "Is it copying?", "Model card"], key="tab", on_change="rerun"
    )  # only what is open is drawn, so that the first face is there soon
    moves = [st.session_state.get(key, 0.0) for key in MOVES]
    picture: np.ndarray = faces.generator.pictures(faces.latent(seed, truncation, moves), labels)[0]
    if face.open:
        with face:
            _a_face(picture, seed)
    if several.open:
        with several:
            _a_grid(faces, seed, truncation, labels)
    if mixing.open:
        with mixing:
            _mix(faces, seed, truncation, labels)
    if walk.open:
        with walk:
            _a_walk(faces, seed, truncation, asked)
    if copying.open:
        with copying:
            _copying(picture, options.shards)
    if card.open:
        with card:
            pictures = "![samples](samples.png)"  # a file beside the card, which is not here
            st.markdown(model.card.replace(pictures, "") or "This model came without a card.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--shards", type=Path, default=SHARDS)
    return parser.parse_args()


def _a_face(picture: np.ndarray, seed: int) -> None:
    st.image(shown(picture), caption=f"seed {seed}")
    st.download_button(
        "Download PNG", png(shown(picture)), f"face-{seed}.png", "image/png", key="face", on_click="ignore"
    )
    moving = st.expander("Move along what changes pictures most", key="moving", on_change="rerun")
    if moving.open:
        columns = moving.columns(2)
        for number, key in enumerate(MOVES):
            columns[number % 2].slider(f"Direction {number + 1}", -4.0, 4.0, 0.0, 0.1, key=key)


def _a_grid(faces: Faces, seed: int, truncation: float, labels: np.ndarray) -> None:
    count = st.slider("Faces", 4, 64, 25, key="count")
    pictures = faces.generator.pictures(faces.generator.latents(count, seed, truncation), labels)
    drawn = grid(pictures, math.ceil(math.sqrt(count)))
    st.image(drawn, width="stretch")
    st.download_button("Download PNG", png(drawn), f"faces-{seed}.png", "image/png", key="grid", on_click="ignore")


def _mix(faces: Faces, seed: int, truncation: float, labels: np.ndarray) -> None:
    other = int(st.number_input("Seed of the other", 0, 2**31 - 1, 4, key="other"))
    share = st.slider("How much of it", 0.0, 1.0, 0.5, 0.01, key="share")
    latents = [faces.mix(seed, other, part, truncation) for part in (0.0, share, 1.0)]
    pictures = faces.generator.pictures(np.concatenate(latents), labels)
    title = f"seed {seed}, {1 - share:.0%} of it with {share:.0%} of the other, and seed {other}"
    st.image(shown(np.asarray(grid(pictures, 3))), caption=title, width="stretch")


def _a_walk(faces: Faces, seed: int, truncation: float, asked: list[str]) -> None:
    count = st.select_slider("Faces at once", [1, 4, 9, 16], 4, key="at-once")
    steps = st.slider("Pictures between two faces", 4, 48, 16, key="between")
    if not st.button("Draw the walk"):
        st.caption("Faces that change into each other and back, to watch and to keep.")
        return
    frames = list(walk_frames(faces.generator, count, steps, seed, truncation, asked))
    film = mp4(iter(frames), 24, 0.0)
    st.video(film, format="video/mp4", loop=True, autoplay=True, muted=True)
    left, right = st.columns(2)
    left.download_button("Download MP4", film, f"walk-{seed}.mp4", "video/mp4", on_click="ignore")
    right.download_button(
        "Download GIF", gif(iter(frames), 24, 0.0), f"walk-{seed}.gif", "image/gif", on_click="ignore"
    )


def _copying(picture: np.ndarray, shards: Path) -> None:
    if not (shards / "manifest.json").is_file():
        st.info(f"The training pictures are not here ({shards}); `dvc pull` or `dvc repro preprocess` brings them.")
        return
    if not st.button("Find the nearest training pictures"):
        st.caption("A generator that copies draws faces that a training picture looks just like.")
        return
    import torch

    from facegan.evaluation.memorization import nearest

    picture = rgb(picture)
    train = _training_pictures(str(shards), (shards / "manifest.json").stat().st_mtime)
    if picture.shape != train.shape[1:]:
        drawn, there = ("x".join(map(str, shape[:2])) for shape in (picture.shape, train.shape[1:]))
        st.info(f"The model draws {drawn} pixels, and the training pictures here have {there}.")
        return
    found = nearest(torch.from_numpy(picture.copy())[None], train)
    row = np.stack([picture, *train[found.index[0, :NEAREST]].numpy()])
    title = "the face, and the training pictures that are nearest to it, the nearest first"
    st.image(shown(np.asarray(grid(row, NEAREST + 1))), caption=title, width="stretch")
    closeness = f"{float(found.closeness[0]):.0%} of the distance of the next five"
    st.write(f"The nearest is at {closeness}: a copy is near 0%, a face like many near 100%.")


@st.cache_resource(show_spinner="reading the training pictures")
def _training_pictures(shards: str, changed: float):  # type: ignore[no-untyped-def]  # torch is loaded only here
    from facegan.data.rgb import in_rgb
    from facegan.data.stored import load_split

    return in_rgb(load_split(Path(shards), "train").images)


main()
