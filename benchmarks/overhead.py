"""The share of training time that is not the step itself: data, logging, grids, checkpoints (scores aside)."""

import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import torch

from facegan.data.labels import Labels
from facegan.params_yaml import load_params
from facegan.tracking.journal import Journal
from facegan.training import engine
from facegan.training.device import make_deterministic
from facegan.training.judge import Judgement
from facegan.training.loop import Training
from facegan.training.working import WorkingFolder


def measure(device: torch.device, kimg: float = 12) -> list[tuple[str, str, str]]:
    """Three default ticks of the base recipe, a checkpoint every 10 s; a tick is in fact followed by one every 30 s."""
    make_deterministic(device)
    params = load_params(Path("recipes/base.yaml"))
    train = params.train.model_copy(update={"duration": f"{kimg} kimg"})
    inside = 0.0
    original = engine.train_step

    def timed(*arguments: object) -> torch.Tensor:
        nonlocal inside
        began = time.perf_counter()
        result = original(*arguments)  # type: ignore[arg-type]
        if device.type == "cuda":
            torch.cuda.synchronize()
        inside += time.perf_counter() - began
        return result

    with tempfile.TemporaryDirectory() as folder, patch.object(engine, "train_step", timed):
        images = torch.randint(0, 256, (4000, 64, 64, 3), dtype=torch.uint8)
        with Journal(Path(folder)) as journal:
            training = Training(
                model=params.model,
                train=train,
                seed=1,
                images=images,
                labels=Labels.none(len(images)),
                device=device,
                folder=WorkingFolder(Path(folder)),
                journal=journal,
                judge=lambda _: Judgement(0.0),
                stopping=lambda: False,
                checkpoint_seconds=10,
            )
            began = time.perf_counter()
            training.run()
            total = time.perf_counter() - began
    return [("training time outside the step", f"{1 - inside / total:.1%}", "< 5 %")]
