"""Gather in one folder what a bare GPU machine lacks: wheels, pictures, a network to score in, an earlier revision.

``python -m benchmarks.gpu.carry --out .carry`` prints the command to run there. The machine is expected to have the
other packages that ``python -m benchmarks.gpu`` names, for Python 3.12.
"""

import argparse
import io
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from PIL import Image

from facegan.data.folder import open_pictures

WHEELS = ("pydantic", "pydantic-core", "annotated-types", "typing-inspection", "typing-extensions", "ruamel-yaml")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64")
QUALITY = 95  # of the JPEGs that pictures are carried as, without chroma subsampling
SITE = "/tmp/facegan-site"  # noqa: S108 - on the GPU machine, which nobody else uses


def gather_wheels(lock: Path, folder: Path) -> None:
    """The wheels of ``WHEELS``, in the versions of the lock, for Python 3.12 on x86-64 Linux."""
    versions = dict(re.findall(r"^([\w.-]+)==([\w.]+)", lock.read_text(encoding="utf-8"), re.MULTILINE))
    wanted = [f"{name}=={versions[name]}" for name in WHEELS]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", "3.12", "--implementation", "cp"]
    command += [part for platform in PLATFORMS for part in ("--platform", platform)]
    subprocess.run([*command, "--dest", str(folder), *wanted], check=True)


def pack_pictures(source: Path, size: int, count: int, target: Path) -> int:
    """The first ``count`` pictures of a folder or archive, ``size`` pixels on the shorter side; gives how many."""
    with open_pictures(source) as pictures, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        names = [name for name in pictures.names if not name.endswith(".csv")][:count]
        for number, name in enumerate(names):
            with Image.open(io.BytesIO(pictures.read(name))) as image:
                scale = min(1.0, size / min(image.size))
                shape = (max(size, round(image.width * scale)), max(size, round(image.height * scale)))
                small = (
                    image.convert("RGB")
                    if scale == 1.0
                    else image.convert("RGB").resize(shape, Image.Resampling.LANCZOS)
                )
            content = io.BytesIO()
            small.save(content, "JPEG", quality=QUALITY, subsampling=0)
            archive.writestr(f"{number:06d}.jpg", content.getvalue())
    return len(names)


def earlier_revision(revision: str, target: Path) -> None:
    """The code of ``revision``, as ``--before`` of the benchmark takes it."""
    parts = ["src", "benchmarks", "recipes", "pyproject.toml"]
    content = subprocess.run(["git", "archive", revision, *parts], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(target, filter="data")


def tree_bytes() -> int:
    """Of the files of the checkout that travel: those that git tracks, and new ones that it does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True, capture_output=True
    )
    return sum(
        Path(name).stat().st_size for name in set(listed.stdout.decode().split("\0")) if name and Path(name).is_file()
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.carry", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(".carry"), help="made anew; default .carry")
    parser.add_argument("--pictures", type=Path, help="a folder or archive to train on there")
    parser.add_argument("--count", type=int, default=10_000, help="of the pictures; default 10000")
    parser.add_argument("--size", type=int, default=64, help="pixels that they are carried at; default 64")
    parser.add_argument("--extractor", type=Path, help="ONNX file to score in")
    parser.add_argument("--before", help="a git revision to compare steps with")
    parser.add_argument("--limit", type=float, default=64.0, help="MiB that may travel, code included; default 64")
    options = parser.parse_args()
    out: Path = options.out
    if out.exists() and not (out / "wheels").is_dir():
        parser.error(f"--out: {out} exists and was not made by this command")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    arguments = []
    gather_wheels(Path("requirements.lock"), out / "wheels")
    if options.pictures is not None:
        count = pack_pictures(options.pictures, options.size, options.count, out / "pictures.zip")
        print(f"{count:,} pictures at {options.size} pixels")
        arguments.append(f"--pictures {out}/pictures.zip")
    if options.extractor is not None:
        shutil.copyfile(options.extractor, out / "extractor.onnx")
        arguments.append(f"--extractor {out}/extractor.onnx")
    if options.before is not None:
        earlier_revision(options.before, out / "before")
        arguments.append(f"--before {out}/before")
    carried = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 2**20
    total = carried + tree_bytes() / 2**20
    print(f"{carried:.1f} MiB in {out}, {total:.1f} MiB with the code\n")
    install = f"python3 -m pip install -q --no-index --no-deps --target {SITE} {out}/wheels/*.whl"
    print(f"{install} && export PYTHONPATH=src:{SITE}")
    for parts in ("--minutes 9 --parts exact speed means", "--minutes 9 --parts faces"):
        print(" ".join([f"python3 -m benchmarks.gpu {parts} --out $OUT", *arguments]))
    if total > options.limit:
        print(
            f"error: more than {options.limit:g} MiB; carry fewer pictures (--count) or smaller ones", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
