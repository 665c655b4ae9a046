"""Train: shards to a generator and a discriminator, resumable to the bit, shown in MLflow as it goes.

Several processes train as one, to the bit: FACEGAN_PROCESSES=4 starts them, one for each GPU, or torchrun does. They
share the microbatches of a batch (train.microbatch).
"""

import os
import signal
import sys
from typing import Any

import torch

from facegan.data.labels import Labels
from facegan.data.manifest import read_manifest
from facegan.data.stored import load_split
from facegan.errors import FaceganError
from facegan.files import sha256
from facegan.params import Params
from facegan.randomness import Inputs
from facegan.repository.distributed import device_of, process_count, several
from facegan.repository.project import REPORTS, SHARDS, TRAINED, Project
from facegan.repository.running import Stop, out_of_memory, run_stage
from facegan.sharing import Processes
from facegan.sizes import in_words, size_of
from facegan.tracking.feed import Feed, remove, set_aside
from facegan.tracking.journal import DIVERGED, OUT_OF_MEMORY, Journal
from facegan.tracking.lineage import RunSpec, attempt_of, environment, read_trained, training_key, write_trained
from facegan.training.device import choose_device, describe, make_deterministic
from facegan.training.engine import Engine, NotFinite, Stopped
from facegan.training.judge import build_judge
from facegan.training.loop import Training
from facegan.training.outputs import write_history, write_models
from facegan.training.update import refuse_to_share
from facegan.training.working import hold, unfinished


def train(project: Project) -> None:
    params = project.params()
    refuse_to_share(params.train, process_count())
    stop = Stop()
    with several("pipeline.train") as processes:
        try:
            _train(project, params, processes, stop)
        except Stopped:
            if processes.rank == 0:
                print("train: stopped, its state is saved; rerun `dvc repro` to resume", flush=True)
            sys.exit(128 + (stop.signal or signal.SIGTERM))


def _train(project: Project, params: Params, processes: Processes, stop: Stop) -> None:
    manifest = read_manifest(project.root / SHARDS)
    size = size_of(manifest)
    key = training_key(params, (shard["sha256"] for shard in manifest["shards"]), project.code("train"))
    processes.agree("training", key)
    device = choose_device(device_of(processes))
    make_deterministic(device)
    pictures = load_split(project.root / SHARDS, "train")
    labels = Labels.to_train(pictures, params.model.labels, manifest)
    shared: dict[str, Any] = {
        "model": params.model,
        "train": params.train,
        "seed": params.seed,
        "images": pictures.images,
        "labels": labels,
        "device": device,
        "stopping": stop,
        "processes": processes,
    }
    if processes.rank > 0:
        Engine(**shared).run()
        return

    with hold(project.state, key) as folder:
        if others := unfinished(project.state, key):
            print(f"train: unfinished trainings under other parameters: {', '.join(name[:8] for name in others)}")
        attempt = folder.begin(done=read_trained(project.state, key)[0])
        spec = RunSpec.of(params, key, size, attempt_of(project.home, attempt), project.tags())
        spec.write(folder.path)
        with Journal(folder.path) as journal:
            where = environment(describe(device), torch.get_num_threads())
            journal.write("start", environment=where, processes=processes.count)
            feed = Feed(folder.path, *project.tracking())
            status, why, generator = "FAILED", None, None
            try:
                inputs = Inputs(params.model.latent, labels.table)
                judge = build_judge(params.train.judge, pictures.images, inputs, params.seed, project.home, device)
                seconds = _checkpoint_seconds()
                training = Training(**shared, folder=folder, journal=journal, judge=judge, checkpoint_seconds=seconds)
                together = f" in {processes.count} processes" if processes.count > 1 else ""
                print(
                    f"train: {params.model.network} at {in_words(size)}, {len(pictures):,} pictures, "
                    f"{params.train.duration}, on {device}{together}; a line every {params.train.tick}",
                    flush=True,
                )
                state = training.run()
                write_models(training, state, key, project.root / TRAINED)
                write_history(folder, project.root / REPORTS / "train")
                generator = sha256(project.root / TRAINED / "generator.safetensors")
                status = "FINISHED"
            except NotFinite:
                why = DIVERGED
                raise
            except (MemoryError, RuntimeError) as error:
                if out_of_memory(error):
                    why = OUT_OF_MEMORY
                    raise FaceganError(
                        f"train: the memory of {device} does not hold a batch; lower train.microbatch"
                    ) from error
                raise
            except Stopped:
                status = "KILLED"
                raise
            finally:
                journal.write("end", status=status, generator=generator, why=why)
                everything_sent = feed.finish()
        write_trained(project.state, key, attempt, str(generator), journal.rows())
        folder.checkpoint.unlink()  # first: without it, what a kill leaves of the folder is no finished training
        if everything_sent:
            remove(folder.path)
        else:
            set_aside(folder.path, project.state)
    print(f"train: done; the best weights, chosen by train.judge, are those at {state.best_images / 1000:.1f} kimg")


def _checkpoint_seconds() -> float:
    given = os.environ.get("FACEGAN_CHECKPOINT_SECONDS", "30")
    try:
        return float(given)
    except ValueError:
        raise FaceganError(f"FACEGAN_CHECKPOINT_SECONDS: {given!r} should be a number of seconds") from None


if __name__ == "__main__":
    run_stage(train, memory="a lower train.microbatch", disk="raise train.tick, which means fewer grids")
