"""Every command of the README, run as it stands there."""

import re
import shutil
import subprocess
from pathlib import Path

from conftest import REPOSITORY, Clone

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")

# What another test runs, and what is not a command of the project.
ELSEWHERE = {
    "make repro": "dvc repro behind make setup; test_run.py and .ci/run",
    "make ui": "mlflow ui, as test_browser.py starts it",
    "make help": "below",
    ". .venv/bin/activate": "the tests run in it",
    "dvc repro --force train": "test_run.py",
    "facegan recipe use r3gan-64": "as the recipe above it",
    "FACEGAN_PROCESSES=4 dvc repro": "test_together.py, with 2",
    "torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 --max-restarts 3 "
    "-m pipeline.train": "test_together.py, on one machine",
    "dvc push": "test_tracking.py",
    "facegan record": "test_tracking.py",
    "facegan study": "test_study.py",
    "facegan compare HEAD~1 HEAD --out change.md": "test_run.py, with an experiment",
    "python -m benchmarks.corruptions": "test_corruptions.py, with fewer pictures",
    "facegan study conv-64 base:model.generator.upsample=resize --images 200000 --seeds 3": "test_study.py, shorter",
    "facegan study params.yaml --search train.lr_generator=1e-5..1e-3:log --search train.batch=16,32 --trials 30 "
    "--images 50000": "test_study.py and test_study_search.py, shorter",
    "dvc exp apply NAME": "test_study.py",
    "facegan study conv-64 r3gan-64 --images 2000000 --seeds 3 --on ray://head:10001 --state /shared/facegan": (
        "test_ray.py, shorter"
    ),
    "facegan generate --label hair_colour=pink --label accessory=ribbon --out pink.png": "test_run.py, with labels",
    "facegan generate --each hair_colour --count 8 --out rows.png": "test_run.py, with labels",
    "mlflow models serve -m runs:/RUN/generator --env-manager local": "test_serving.py",
    "make test": "this is it",
    "make test-system": "this is it",
    "make campaign": "takes minutes of an idle machine",
    "make lint": ".ci/run",
    "sbatch --nodes 2 --gpus-per-node 8 deploy/slurm/train.sbatch": "test_clusters.py, on two nodes without GPUs",
    "kubectl apply -k deploy/kubernetes/overlays/gpu": "test_clusters.py, without Kubernetes",
    "make bench": "takes an idle machine",
    "python -m benchmarks.gpu --minutes 9 --out gpu": "tests/benchmarks/test_gpu.py, on the CPU",
    "facegan data pin": "test_sources.py",
    "dvc repro": "test_run.py",
    'facegan rollback --reason "odd eyes"': "test_story.py; here there is one version",
    "facegan promote --force REASON": "test_promote.py",
    "facegan generate --model": "test_generate.py",
    "facegan retrain --push --promote": "test_story.py",
    "facegan retrain --bundle bundle": "test_workflows.py",
    "facegan release bundle --promote --digest \"$(sha256sum bundle/bundle.json | cut -d' ' -f1)\"": (
        "test_workflows.py"
    ),
    "facegan serve": "test_story.py",
    "facegan serve --model models/export --port 9000": "test_http.py",
    'curl "http://127.0.0.1:8000/pictures.png?seed=3" -o face.png': "test_app.py",
    'curl "http://127.0.0.1:8000/pictures" -H "content-type: application/json" -d \'{"count": 4, "seed": 7}\'': (
        "test_app.py"
    ),
    "make demo": "test_demo.py",
    "dvc remote add -d team s3://bucket/faces": "test_remotes.py",
    "dvc remote modify team endpointurl https://your-store": "test_remotes.py",
    "export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...": "test_remotes.py",
    "export MLFLOW_TRACKING_URI=http://your-server:5000 MLFLOW_TRACKING_USERNAME=... MLFLOW_TRACKING_PASSWORD=...": (
        "test_remotes.py"
    ),
}


def commands() -> list[str]:
    """Lines of the README's shell blocks, without their comments, and the commands within its sentences."""
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    inside = re.sub(r"```.*?```", "", README, flags=re.DOTALL).split("`")[1::2]
    lines += [code for code in inside if re.match(r"(facegan|dvc|make|mlflow models|\.) ", code)]
    return list(dict.fromkeys(line for line in lines if line))


def test_the_commands_run(finished: Clone, tmp_path: Path) -> None:
    clone = finished.copy(tmp_path / "clone")
    ran = 0
    for command in commands():
        if command in ELSEWHERE:
            continue
        if command.startswith("dvc exp run"):  # at the size of a test
            shutil.copy2(finished.root / "params.yaml", clone.root / "params.yaml")
        clone.run("bash", "-c", command)
        ran += 1
    assert ran >= 6
    assert (clone.root / "compare.html").is_file()
    assert (clone.root / "grid.png").is_file()
    assert (clone.root / "walk.png").is_file()


def test_every_target_of_the_makefile_is_told_and_told_truly() -> None:
    command = ["make", "--no-print-directory", "help"]  # CI runs this under make
    told = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    targets = {line.split()[0] for line in told.splitlines()}
    assert targets >= {"help", "setup", "repro", "test", "ui", "bench", "lint", "lock", "clean", "test-system"}
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=REPOSITORY, capture_output=True, check=True)


def test_files_and_variables_that_it_names_exist() -> None:
    for name in re.findall(r"\]\(([\w./-]+)\)", README):
        assert (REPOSITORY / name).exists(), name
    sources = "".join(path.read_text() for path in (REPOSITORY / "src").rglob("*.py"))
    sources += "".join(path.read_text() for path in (REPOSITORY / "pipeline").glob("*.py"))
    for name in re.findall(r"`(FACEGAN_\w+)`", README):
        assert name in sources, name
