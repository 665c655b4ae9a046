"""Registering a model, and judging whether it goes into service."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from facegan.data.manifest import read_manifest, split_of
from facegan.errors import FaceganError
from facegan.evaluation.comparison import at_its_floor
from facegan.evaluation.features import build_extractor
from facegan.evaluation.metrics import scores_of
from facegan.files import read_json, sha256
from facegan.notify import notify
from facegan.promotion.gate import Standing, Verdict, judge, unfit, unlike
from facegan.promotion.rescore import Unscorable, held_out_report
from facegan.repository.agreement import disagreement
from facegan.repository.project import EXPORTED, REPORTS, SHARDS, Project
from facegan.repository.recording import record_run
from facegan.tracking.provenance import TAG, statement
from facegan.tracking.registry import CHAMPION, WEIGHTS, Decision, Missing, Registry, Version

_ATTEMPTS = 3  # when the champion changes while a candidate is judged


def register(project: Project) -> str:
    """Record and register the current outputs; gives the version."""

    params = project.params()
    run_id = record_run(project, "register")
    card = (project.root / EXPORTED / "MODEL_CARD.md").read_text(encoding="utf-8")
    report = read_json(project.root / REPORTS / "evaluate.json")
    scores = scores_of(report)
    tags = {f"score.{name}": f"{at_its_floor(score):.6g}" for name, score in scores.items()}
    config = read_json(project.root / EXPORTED / "config.json")
    tags["facegan.training_key"] = config["training_key"]
    tags[WEIGHTS] = sha256(project.root / EXPORTED / "generator.safetensors")
    told = ("extractor", "extractor_sha256", "generated", "real", "pictures", "seed")
    tags["facegan.protocol"] = json.dumps({key: report["protocol"][key] for key in told})
    tags |= {key: value for key, value in project.tags().items() if key != "facegan.params_yaml"}
    tags[TAG] = statement(project.root / EXPORTED, project.made_of(), config["training_key"], run_id)
    version = str(project.registry().register(run_id, card, tags).number)
    print(f"register: version {version} of {params.promotion.model} is the candidate")
    return version


def promote(project: Project, wanted: str, force: str | None = None) -> Verdict:
    """Judge a version (a number or an alias) and carry the verdict out; the first line says what was decided."""
    if (found := disagreement(project, pulled=False)) is not None:
        raise FaceganError(f"promote: {found}")
    registry = project.registry()
    for _ in range(_ATTEMPTS):
        candidate, champion = registry.version(wanted), registry.version(CHAMPION)
        if candidate is None:
            raise FaceganError(f"promote: {registry.name} has no version {wanted!r}; `facegan register` makes one")
        if champion is not None and champion.number == candidate.number:
            return Verdict(True, (f"version {candidate.number} is in service already",))
        if force is not None:
            verdict = Verdict(True, (f"forced: {force}",))
        else:
            verdict = _judged(project, registry, candidate, champion)
        action = "promote" if verdict.promoted else "refuse"
        before = champion.number if champion else None
        if registry.decide(Decision(action, candidate.number, before, verdict.reasons), before):
            what = f"version {candidate.number} is {'promoted' if verdict.promoted else 'refused'}"
            notify(f"{registry.name}: {what}\n" + "\n".join(verdict.reasons))
            return replace(verdict, reasons=(what, *verdict.reasons))
        print("promote: the champion has changed meanwhile; judging again", file=sys.stderr)
    raise FaceganError("promote: the champion keeps changing; nothing was decided")


def _judged(project: Project, registry: Registry, candidate: Version, champion: Version | None) -> Verdict:
    rules = project.params().promotion
    if (reason := registry.rolled_back(candidate)) is not None:
        return Verdict(False, (f"it was in service and rolled back: {reason}",))
    with TemporaryDirectory() as folder:
        try:
            files = registry.files(candidate, Path(folder, "candidate"))
            parity = read_json(files / "parity.json")["max_difference"] if (files / "parity.json").is_file() else None
            ours = Standing(candidate.number, registry.report(candidate), parity)
            if champion is None or unfit(rules, ours):
                return judge(rules, ours, None)
            theirs = Standing(champion.number, registry.report(champion))
            if (reason := unlike(rules, ours, theirs)) is None:
                return judge(rules, ours, theirs)
            print(f"promote: they cannot be compared ({reason}): scoring both on the held-out pictures of today")
            for version in (champion, candidate):
                if (seen := _has_seen(project, version.number, registry.manifest(version))) is not None:
                    return Verdict(False, (seen,))
            champions = registry.files(champion, Path(folder, "champion"))
        except Missing as error:  # what is known to be gone: told, and kept as a decision
            return Verdict(False, (str(error),))
        return _rescored(project, (ours, files), (theirs, champions))


def _has_seen(project: Project, number: str, manifest: dict[str, Any]) -> str | None:
    """Why a version may have been trained on pictures that are held out today; None when it was not."""
    (scheme, share), (today, held_out) = split_of(manifest), split_of(read_manifest(project.root / SHARDS))
    if scheme != today:
        how = f"its held-out pictures were chosen by {scheme}, today's are by {today}"
    elif share < held_out:
        how = f"fewer pictures were held out then ({share})"
    else:
        return None
    return f"version {number} may have been trained on some of the pictures that would judge it: {how}"


def _rescored(project: Project, ours: tuple[Standing, Path], theirs: tuple[Standing, Path]) -> Verdict:
    """A verdict by the pictures that neither has been trained on."""

    params = project.params()
    extractor = build_extractor(params.evaluate, project.home, torch.device("cpu"))
    standings = []
    for standing, files in (ours, theirs):
        try:
            found = held_out_report(
                files, project.root / SHARDS, extractor, params.evaluate.generated, project.state / "cache"
            )
        except (Unscorable, ValueError) as error:
            return Verdict(False, (f"version {standing.version} cannot be scored on today's pictures: {error}",))
        kept = {"memorization": standing.report["memorization"]} if "memorization" in standing.report else {}
        standings.append(replace(standing, report={**found, **kept}))
    if (reason := unlike(params.promotion, *standings)) is not None:
        return Verdict(False, (f"it cannot be compared with version {theirs[0].version}: {reason}",))
    return judge(params.promotion, *standings)
