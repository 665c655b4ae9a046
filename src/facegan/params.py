"""The schema of ``params.yaml``: one frozen, validated value per block.

There are no defaults. What is not written in ``params.yaml`` is an error, so that an upgrade of facegan
cannot change a result silently; ``facegan recipe use base`` writes a complete file.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from facegan.params_data import Block, DataParams, Digest, PreprocessParams, Seed

PENALTIES = ("gradient_penalty", "r1", "r2")
DEVIATION_GROUP = 4  # pictures that the discriminator of stylegan2 compares: networks/stylegan2.py
# Scores that need a generator and training pictures alone, in spaces that have a name; in those of Inception last.
Judge = Literal[
    "fd_face", "kid_face", "precision_face", "recall_face", "density_face", "coverage_face",
    "fd_random", "kid_random", "precision_random", "recall_random", "density_random", "coverage_random",
    "sliced_wasserstein", "ms_ssim", "color_distance", "checkerboard_energy",
    "fid", "kid", "inception_score", "precision", "recall", "density", "coverage",
]  # fmt: skip

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Beta = Annotated[float, Field(ge=0.0, lt=1.0)]
Span = Annotated[str, Field(pattern=r"^\d+(\.\d+)? (kimg|epochs?)$")]  # a stretch of training
_AS_TUPLE = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
Channels = Annotated[int, Field(ge=1, le=1024)]  # those at the largest resolution double at every halving, up to a most


class GeneratorParams(Block):
    channels: Channels
    max_channels: Channels
    norm: Literal["batch", "conditional", "none"]
    upsample: Literal["transposed", "resize", "blur"]


class DiscriminatorParams(Block):
    channels: Channels
    max_channels: Channels
    norm: Literal["batch", "spectral", "none"]
    first_norm: bool  # batch norm in the first block too
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)]


def _labels(value: object) -> Any:
    names = tuple(value) if isinstance(value, list | tuple) else None
    if value == "all":
        return value
    if names is None or not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise ValueError(f"model.labels: {value!r} should be all, or different labels such as [hair, eyes]")
    return names


class ModelParams(Block):
    network: Literal["conv", "dense", "resnet", "stylegan2", "r3gan"]
    latent: Annotated[int, Field(ge=1, le=4096)]
    labels: Annotated[Literal["all"] | tuple[str, ...], BeforeValidator(_labels)]  # that the networks get
    generator: GeneratorParams
    discriminator: DiscriminatorParams

    @model_validator(mode="after")
    def _parts_fit_the_network(self) -> Self:
        for key, allowed in _FITTING.get(self.network, {}).items():
            player, _, part = key.partition(".")
            value = getattr(getattr(self, player), part)
            if value not in allowed:
                raise ValueError(
                    f"model.{key}: {value!r} does not go with model.network {self.network!r}, "
                    f"which takes {' or '.join(map(repr, allowed))}"
                )
        if self.labels and self.generator.norm == "batch":
            raise ValueError(
                "model.labels: labels do not go with model.generator.norm 'batch', under which the latent is lost "
                "beside them; use 'conditional' or 'none'"
            )
        if self.discriminator.first_norm and self.discriminator.norm != "batch":
            raise ValueError(
                f"model.discriminator.first_norm: true goes with model.discriminator.norm 'batch', "
                f"not {self.discriminator.norm!r}"
            )
        return self


_WITHOUT_NORM: dict[str, tuple[object, ...]] = {
    "generator.norm": ("none",),
    "generator.upsample": ("blur",),
    "discriminator.norm": ("none",),
    "discriminator.dropout": (0.0,),
}
# What a network's definition leaves of the choices.
_FITTING: dict[str, dict[str, tuple[object, ...]]] = {
    "resnet": {
        "generator.upsample": ("resize", "blur"),
        "discriminator.norm": ("spectral", "none"),
        "discriminator.dropout": (0.0,),
    },
    "stylegan2": _WITHOUT_NORM,
    "r3gan": _WITHOUT_NORM,
}


class Schedule(Block):
    """A value that moves from ``start`` to ``end`` over the first stretch of a training, and stays there."""

    start: NotNegative
    end: NotNegative
    over: Span
    shape: Literal["linear", "cosine"]


_EITHER = Discriminator(lambda value: "schedule" if isinstance(value, dict | Schedule) else "number")
_Scheduled = Annotated[Schedule, Tag("schedule")]
LearningRate = Annotated[Annotated[Positive, Tag("number")] | _Scheduled, _EITHER]
Momentum = Annotated[Annotated[Beta, Tag("number")] | _Scheduled, _EITHER]
Weight = Annotated[Annotated[NotNegative, Tag("number")] | _Scheduled, _EITHER]


class OnnxParams(Block):
    sha256: Digest | None  # must be that of the file: a run depends on the network that scored it
    input: str | None  # null is the only one
    output: str | None
    size: Annotated[int, Field(ge=8, le=1024)]  # pixels
    range: Annotated[tuple[Finite, Finite], _AS_TUPLE]  # of black and of white
    mean: Annotated[tuple[Finite, Finite, Finite], _AS_TUPLE]  # in that range, of R, G and B
    deviation: Annotated[tuple[Positive, Positive, Positive], _AS_TUPLE]


class OnnxJudge(Block):
    """A score in the space of a network of one's own, as the judge of a training."""

    score: Literal["fd", "kid", "precision", "recall", "density", "coverage"]
    file: Annotated[str, Field(pattern=r"\.onnx$")]
    sha256: Digest | None
    input: str | None
    output: str | None
    side: Annotated[int, Field(ge=8, le=1024)]  # pixels; DVC's run cache would not look at a `size` in here
    range: Annotated[tuple[Finite, Finite], _AS_TUPLE]
    mean: Annotated[tuple[Finite, Finite, Finite], _AS_TUPLE]
    deviation: Annotated[tuple[Positive, Positive, Positive], _AS_TUPLE]

    def network(self) -> OnnxParams:
        """How the file wants its pictures."""
        values = self.model_dump(exclude={"score", "file", "side"})
        return OnnxParams(size=self.side, **values)


_JUDGE = Discriminator(lambda value: "file" if isinstance(value, dict | OnnxJudge) else "score")


class TrainParams(Block):
    duration: Span
    batch: Annotated[int, Field(ge=2)]  # batch statistics need two
    microbatch: (
        Annotated[int, Field(ge=2)] | None
    )  # pictures that are computed at once; null, or more than the batch, is the batch
    precision: Literal["fp32", "bf16"]
    objective: Literal["bce", "hinge", "wasserstein", "least-squares", "relativistic"]
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)]  # real labels are 1 less this
    discriminator_steps: Annotated[int, Field(ge=1, le=100)]  # for one of the generator
    optimizer: Literal["adam", "sgd"]
    lr_generator: LearningRate
    lr_discriminator: LearningRate
    beta1_generator: Momentum
    beta1_discriminator: Momentum
    beta2_generator: Momentum
    beta2_discriminator: Momentum
    gradient_penalty: Weight  # WGAN-GP's
    r1: Weight
    r2: Weight
    penalty_every: Annotated[int, Field(ge=1, le=1000)]  # updates of the discriminator
    augment: Annotated[tuple[Literal["color", "translation", "cutout"], ...], _AS_TUPLE]  # DiffAugment
    flip: bool  # mirror half of the pictures
    ema_kimg: Weight  # half-life; 0 keeps no average
    tick: Span  # between rows of the history and sample grids
    evaluate_every: Span  # between scores that choose the best weights; a whole number of ticks
    judge: Annotated[Annotated[Judge, Tag("score")] | Annotated[OnnxJudge, Tag("file")], _JUDGE]  # that score
    samples: Annotated[int, Field(ge=1, le=1024)]  # pictures in a sample grid

    @property
    def images_per_step(self) -> int:
        """Real pictures that one step shows to the discriminator."""
        return self.batch * self.discriminator_steps

    @property
    def arithmetic_batch(self) -> int:
        """Pictures of a microbatch, inside which all sums over pictures are taken; of a smaller batch, all of them."""
        return min(self.microbatch or self.batch, self.batch)

    @property
    def penalised(self) -> bool:
        """Whether any update of the discriminator has a penalty."""
        return any(getattr(self, key) != 0 for key in PENALTIES)

    @model_validator(mode="after")
    def _spans_are_not_empty(self) -> Self:
        for key in ("duration", "tick", "evaluate_every"):
            if float(getattr(self, key).split()[0]) <= 0:
                raise ValueError(f"train.{key}: {getattr(self, key)!r} is nothing; write for example '4 kimg'")
        (tick, of_tick), (every, of_every) = self.tick.split(), self.evaluate_every.split()
        ticks = float(every) / float(tick)
        if of_tick[:4] == of_every[:4] and (ticks < 0.999 or abs(ticks - round(ticks)) > 1e-6 * ticks):
            raise ValueError(
                f"train.evaluate_every: {self.evaluate_every!r} should be a whole number of ticks ({self.tick!r})"
            )
        return self

    @model_validator(mode="after")
    def _microbatches_fill_the_batch(self) -> Self:
        if self.batch % self.arithmetic_batch:
            raise ValueError(f"train.microbatch: {self.microbatch} should divide train.batch ({self.batch})")
        return self

    @model_validator(mode="after")
    def _schedules_stay_in_range(self) -> Self:
        for key, value in self:
            if not isinstance(value, Schedule):
                continue
            if key.startswith("lr_") and min(value.start, value.end) == 0.0:
                raise ValueError(f"train.{key}: a schedule should stay above 0")
            if key.startswith("beta") and max(value.start, value.end) >= 1.0:
                raise ValueError(f"train.{key}: a schedule should stay below 1")
            if float(value.over.split()[0]) <= 0:
                raise ValueError(f"train.{key}.over: {value.over!r} is nothing; write for example '100 kimg'")
        return self

    @model_validator(mode="after")
    def _objective_fits(self) -> Self:
        if self.label_smoothing and self.objective != "bce":
            raise ValueError(
                f"train.label_smoothing: {self.label_smoothing} goes with train.objective 'bce', "
                f"which has labels; {self.objective!r} has none"
            )
        if self.penalty_every > 1 and not self.penalised:
            raise ValueError(
                f"train.penalty_every: {self.penalty_every} says how often a penalty is applied, and there is none; "
                "set train.r1, train.r2 or train.gradient_penalty, or write 1"
            )
        return self


class InceptionParams(Block):
    weights: str | None  # a file; null looks in torch hub's cache, then downloads
    sha256: Digest


class EvaluateParams(Block):
    extractor: Annotated[str, Field(pattern=r"^(face|random|inception|.+\.onnx)$")]
    generated: Annotated[int, Field(ge=2)]
    inception: InceptionParams
    onnx: OnnxParams


class ExportParams(Block):
    opset: Annotated[int, Field(ge=18, le=23)]
    tolerance: Positive  # largest difference allowed between ONNX and PyTorch, pictures in [-1, 1]
    samples: Annotated[int, Field(ge=1, le=1024)]


class PromotionParams(Block):
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _-]{0,99}$")]  # in MLflow's registry
    score: Annotated[str, Field(min_length=1)]  # that decides, as reports/evaluate.json names it
    certain: Annotated[float, Field(ge=0, le=10)]  # standard errors that a difference must exceed
    min_improvement: Annotated[float, Field(ge=0, lt=1)]  # share of the champion's distance to real pictures
    max_memorization: Annotated[float, Field(ge=0, le=1)] | None  # null does not ask
    max_parity: Positive


class Params(Block):
    seed: Seed
    data: DataParams
    preprocess: PreprocessParams
    model: ModelParams
    train: TrainParams
    evaluate: EvaluateParams
    export: ExportParams
    promotion: PromotionParams

    def of_run(self) -> dict[str, Any]:
        """Every parameter that decides what a run leaves: all but what is made of it afterwards."""
        return self.model_dump(exclude={"promotion"})

    @model_validator(mode="after")
    def _microbatches_fill_groups(self) -> Self:
        if self.model.network == "stylegan2" and self.train.microbatch and self.train.microbatch % DEVIATION_GROUP:
            raise ValueError(
                f"train.microbatch: {self.train.microbatch} should be a multiple of {DEVIATION_GROUP}, the group in "
                "which the discriminator of stylegan2 compares pictures"
            )
        return self

    @model_validator(mode="after")
    def _a_gradient_belongs_to_one_picture(self) -> Self:
        for key in PENALTIES:
            if (weight := getattr(self.train, key)) != 0 and self.model.discriminator.norm == "batch":
                raise ValueError(
                    f"train.{key}: {weight} does not go with model.discriminator.norm 'batch', which mixes the "
                    "pictures of a batch, so that a gradient belongs to no one of them; use 'spectral' or 'none'"
                )
        return self
