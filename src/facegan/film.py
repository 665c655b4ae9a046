"""Films: frames one after the other, as MP4, GIF or numbered pictures, and a walk through the latent space."""

import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from facegan.errors import FaceganError
from facegan.files import write_atomic

if TYPE_CHECKING:
    from facegan.exporting.shipped.generate import Generator

CORNERS = 4  # latents that each face of a walk passes, before it is back where it began


def side_by_side(frames: Iterator[np.ndarray], wanted: list[int]) -> Image.Image:
    """Frames uint8 [h, w, 3] by number, on white. Raises FaceganError for one that there is not."""
    held = list(frames)
    if missing := [number for number in wanted if number >= len(held)]:
        raise FaceganError(f"--at {missing[0]}: the training left {len(held)} grids, 0 to {len(held) - 1}")
    chosen = [held[number] for number in wanted]
    gap = np.full((chosen[0].shape[0], 8, 3), 255, np.uint8)
    return Image.fromarray(np.concatenate([part for frame in chosen for part in (frame, gap)][:-1], axis=1))


def walk_frames(
    generator: "Generator", count: int, steps: int, seed: int, truncation: float, label: list[str]
) -> Iterator[np.ndarray]:
    """A grid of ``count`` faces, each of which passes four latents and comes back, ``steps`` pictures apart."""
    from facegan.exporting.shipped.generate import grid, interpolate, rgb

    labels = generator.labels(label)
    corners = generator.latents(count * CORNERS, seed, truncation).reshape(count, CORNERS, -1)
    paths = []
    for own in corners:
        closed = interpolate(np.concatenate([own, own[:1]]), steps + 1)
        paths.append(np.delete(closed, np.s_[steps :: steps + 1], axis=0))  # ends are next beginnings
    columns = math.ceil(math.sqrt(count))
    for latents in np.stack(paths, axis=1):
        yield np.asarray(grid(rgb(generator.pictures(latents, labels)), columns))


def write_film(path: Path, frames: Iterator[np.ndarray], fps: int, still: float = 0.0) -> None:
    """Frames uint8 [h, w, 3] of one size; the last one stays for ``still`` seconds."""
    if "%" in path.name:
        for number, frame in enumerate(frames, 1):
            content = io.BytesIO()
            Image.fromarray(frame).save(content, "PNG")
            write_atomic(path.with_name(path.name % number), content.getvalue())
        return
    write_atomic(path, WRITERS[path.suffix](frames, fps, still))


def mp4(frames: Iterator[np.ndarray], fps: int, still: float) -> bytes:
    """H.264 as browsers and phones play it: yuv420p, an even number of pixels, the index in front."""
    import av

    with TemporaryDirectory() as folder:  # to put the index in front, the film is read again
        path = Path(folder, "film.mp4")
        with av.open(str(path), "w", options={"movflags": "faststart"}) as film:
            stream = None
            for frame in _held(frames, round(fps * still)):
                even = np.pad(frame, [(0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)], mode="edge")
                if stream is None:
                    stream = film.add_stream("libx264", rate=fps, options={"crf": "18"})
                    stream.height, stream.width, stream.pix_fmt = even.shape[0], even.shape[1], "yuv420p"
                film.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
            assert stream is not None  # there is at least one frame
            film.mux(stream.encode())
        return path.read_bytes()


def gif(frames: Iterator[np.ndarray], fps: int, still: float) -> bytes:
    pictures = [Image.fromarray(frame) for frame in frames]
    duration = [round(1000 / fps)] * len(pictures)
    duration[-1] += round(1000 * still)
    content = io.BytesIO()
    pictures[0].save(
        content, "GIF", save_all=True, append_images=pictures[1:], duration=duration, loop=0, optimize=False
    )
    return content.getvalue()


def _held(frames: Iterator[np.ndarray], times: int) -> Iterator[np.ndarray]:
    """The last one so many times more."""
    for frame in frames:
        yield frame
    for _ in range(times):
        yield frame


WRITERS: dict[str, Callable[[Iterator[np.ndarray], int, float], bytes]] = {".mp4": mp4, ".gif": gif}
