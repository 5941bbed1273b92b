"""Recipes: lists of stages, each objective x scope x data x schedule. TOML in and out, checked before any work."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import tomli_w
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from acclimate.errors import RecipeError, ScopeError, complaint, unknown
from acclimate.models.scope import parse_scope
from acclimate.models.taps import HeadSpec, parse_layers
from acclimate.objectives import OBJECTIVES, Objective, ObjectiveSettings
from acclimate.storage.store import write_atomic
from acclimate.training.schedule import steps_per_epoch
from acclimate.views import AUGMENTS, DOMAINS

_NAMED: Final[Mapping[str, tuple[str, Collection[str]]]] = {  # keys of a stage that hold a name: noun, names
    "objective": ("objective", OBJECTIVES),
    "augment": ("augmentation", AUGMENTS),
    "domain": ("domain", DOMAINS),
}
_LATER: Final = {"probe": "none", "calibrate": False, "least_steps": 0}


class Stage(BaseModel):
    """One stage: what is minimised, what moves, and for how long.

    Attributes
    ----------
    objective
        A name in ``OBJECTIVES``.
    scope
        Which parameters train; see ``acclimate.models.scope``.
    options
        Settings of the objective, checked against its own list.
    augment
        Augmentation of a supervised stage, a name in ``AUGMENTS``; an objective with views of its own ignores it.
    domain
        A name in ``DOMAINS``: which symmetries the images have and how much their colours may change. It applies to
        every view, the objective's own ones included.
    strength
        Scales every view's crops and colours: 0 none, 1 as named, at most 2.
    epochs, steps
        Length; exactly one of the two, and none where the probe is all.
    least_steps
        With ``epochs``: the stage has at least so many steps, however few the images.
    batch, accumulate
        Images a forward pass sees, and passes an optimizer step adds up (their mean gradient). Batch statistics,
        negatives and centring are those of ``batch`` images; a moving target moves once an optimizer step.
    head_steps
        The first so many steps train the classifier and the objective's heads alone; the backbone is frozen to the bit.
    lr
        Peak learning rate of what is new (classifier, heads).
    backbone_lr
        Factor on ``lr`` for the pretrained parameters, at least 0.
    layer_decay
        Each block below the classifier learns at this factor of the rate of the one above it (Bao et al. 2022, BEiT,
        arXiv 2106.08254); blocks as scope ``last:K`` counts them, stages of a convolutional network. 1: no decay.
    optimizer
        ``adamw``, ``sgd`` or ``lars`` (You et al. 2017).
    momentum, nesterov
        Of ``sgd``; ``lars`` has the momentum, and never Nesterov's.
    schedule, drops
        After the warm-up: ``cosine`` down to 0, ``constant``, or ``steps``: a tenth from each share of the steps in
        ``drops`` on.
    drop_path
        Chance, in [0, 1), that the last residual branch is left out for an image (Huang et al. 2016, stochastic depth);
        it falls linearly to 0 at the first.
    weight_decay
        Not applied to biases and to the scale and shift of normalisation layers.
    warmup
        Share of the steps in which the rate rises linearly, in [0, 1).
    clip
        Largest global gradient norm; 0 switches clipping off.
    bn_stats
        ``adapt`` lets batch norms that train move their running statistics; ``frozen`` never.
    l2_sp, distill
        Pull towards the weights, and towards the features, of the stage's start; see ``training.optimizer.Anchor``.
    head, normalize
        The classifier, ``linear``, ``bn+linear`` or ``mlp``, and how features are normalised below it, ``none``, ``l2``
        or ``zscore``; see ``acclimate.models.heads``. Every stage with a classifier has the same.
    layers, rates
        Inputs of the classifier, such as ``4+avg`` (see ``acclimate.models.heads.Layered``), and factors of ``lr``: one
        linear classifier for each pair trains, all at once on one forward pass of the frozen backbone. The one with the
        smallest validation log loss stays.
    probe
        The logistic optimum on the features that the stage starts from (see ``training.probe``). ``rival``: the stage
        ends with it unless a later step is better on validation beyond luck; the classifier starts at zero. ``start``:
        the same, and the classifier starts there. ``only``: it is all, and no step is done. ``none``: no such thing.
    calibrate
        Compare steps, and end, at the temperature that gives the smallest log loss on validation.
    keep
        Whose weights the stage ends with: ``best`` on validation, or the ``last`` step's.
    patience
        Epochs without a better validation log loss before the stage ends early; 0 never ends early.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    objective: str = "supervised"
    scope: str
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    augment: str = "light"
    domain: str = "natural"
    strength: float = Field(default=1.0, ge=0, le=2)
    epochs: int | None = Field(default=None, ge=1)
    steps: int | None = Field(default=None, ge=1)
    least_steps: int = Field(default=0, ge=0)
    batch: int = Field(default=64, ge=1)
    accumulate: int = Field(default=1, ge=1)
    head_steps: int = Field(default=0, ge=0)
    lr: float = Field(gt=0)
    backbone_lr: float = Field(default=1.0, ge=0)
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    optimizer: Literal["adamw", "sgd", "lars"] = "adamw"
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = True
    schedule: Literal["cosine", "constant", "steps"] = "cosine"
    drops: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    clip: float = Field(default=1.0, ge=0)
    bn_stats: Literal["adapt", "frozen"] = "adapt"
    l2_sp: float = Field(default=0.0, ge=0)
    distill: float = Field(default=0.0, ge=0)
    head: Literal["linear", "bn+linear", "mlp"] = "linear"
    normalize: Literal["none", "l2", "zscore"] = "none"
    layers: tuple[str, ...] = ()
    rates: tuple[Annotated[float, Field(gt=0)], ...] = ()
    probe: Literal["none", "rival", "start", "only"] = "none"
    calibrate: bool = False
    keep: Literal["best", "last"] = "best"
    patience: int = Field(default=0, ge=0)

    @field_validator("objective", "augment", "domain")
    @classmethod
    def _known(cls, name: str, info: ValidationInfo) -> str:
        noun, names = _NAMED[info.field_name or ""]
        if name not in names:
            raise ValueError(unknown(noun, name, names))
        return name

    @field_validator("scope")
    @classmethod
    def _readable_scope(cls, text: str) -> str:
        try:
            parse_scope(text)
        except ScopeError as error:
            raise ValueError(str(error)) from None
        return text

    @field_validator("layers")
    @classmethod
    def _readable_layers(cls, layers: tuple[str, ...]) -> tuple[str, ...]:
        for text in layers:
            parse_layers(text)
        return layers

    @model_validator(mode="after")
    def _fitting_head(self) -> Stage:
        spec = self.classifier
        if not self.needs_labels and not spec.plain:
            raise ValueError(
                f"objective '{self.objective}' has no classifier; leave head, normalize, layers, rates out"
            )
        if spec.layers and not parse_scope(self.scope).head_only:
            raise ValueError(f"'layers' are read from a frozen backbone; expected scope 'head', got '{self.scope}'")
        if not spec.several:
            return self
        if not parse_scope(self.scope).head_only or self.head != "linear" or self.clip or self.keep != "best":
            raise ValueError(
                "several classifiers at once are linear, on a frozen backbone, chosen on validation and not clipped "
                "together; expected scope 'head', head 'linear', keep 'best' and clip 0"
            )
        return self

    @model_validator(mode="after")
    def _fitting_probe(self) -> Stage:
        if (self.probe != "none" or self.calibrate) and not (self.needs_labels and self.classifier.plain):
            raise ValueError("'probe' and 'calibrate' are for one linear classifier; leave head, normalize, layers out")
        if self.probe == "only" and (self.steps or self.epochs or not parse_scope(self.scope).head_only):
            raise ValueError("probe 'only' does no step; expected scope 'head', and neither 'steps' nor 'epochs'")
        return self

    @model_validator(mode="after")
    def _fitting_schedule(self) -> Stage:
        if bool(self.drops) != (self.schedule == "steps"):
            raise ValueError(f"got schedule '{self.schedule}' with drops {list(self.drops)}; 'steps' needs drops")
        if self.nesterov and not self.momentum and self.optimizer == "sgd":
            raise ValueError("got nesterov without momentum; expected a momentum above 0, or nesterov = false")
        if self.head == "bn+linear" and self.batch == 1:
            raise ValueError("head 'bn+linear' has no statistics of 1 image; expected a batch of at least 2")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Stage:
        if (self.epochs is None) == (self.steps is None) and self.probe != "only":
            raise ValueError("a stage needs exactly one of 'epochs' and 'steps'")
        if self.least_steps and self.epochs is None:
            raise ValueError("'least_steps' goes with 'epochs'; expected it without 'steps'")
        if self.steps and self.head_steps >= self.steps:
            raise ValueError(f"head_steps {self.head_steps} leaves nothing of {self.steps} steps for the backbone")
        self.settings()
        if not self.needs_labels and parse_scope(self.scope).head_only:
            raise ValueError(f"objective '{self.objective}' has no classifier to train; scope 'head' leaves it nothing")
        if self.gradient_free != (self.scope == "stats"):
            raise ValueError(
                f"got objective '{self.objective}' with scope '{self.scope}'; 'stats' trains nothing and is the scope "
                "of 'norm-stats', which moves nothing else"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_defaults_of_later(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out keys younger than finished runs, where they say nothing: identities stay as they were."""
        values: dict[str, Any] = handler(self)
        return {key: value for key, value in values.items() if key not in _LATER or value != _LATER[key]}

    def length(self, images: int) -> int:
        """Return the optimizer steps of the stage on so many images."""
        if self.steps is not None:
            return self.steps
        return max(self.least_steps, (self.epochs or 0) * steps_per_epoch(images, self.batch * self.accumulate))

    @property
    def exact(self) -> bool:
        """Whether the stage looks at its network in float32, whatever it trains in.

        A probe has large weights where a feature varies little about a large mean. There features in bfloat16 are
        noise: the log loss of one model rose from 0.95 to 1.26.
        """
        return self.probe != "none"

    @property
    def needs_labels(self) -> bool:
        """Whether the stage uses the labelled training images; else it uses the unlabelled pool."""
        return bool(OBJECTIVES[self.objective][0].needs_labels)

    @property
    def gradient_free(self) -> bool:
        """Whether the stage has no gradient and moves batch-norm statistics only."""
        return bool(OBJECTIVES[self.objective][0].gradient_free)

    @property
    def classifier(self) -> HeadSpec:
        """What stands on top of the backbone."""
        return HeadSpec(self.head, self.normalize, self.layers, self.rates)

    def settings(self) -> ObjectiveSettings:
        """Return the objective's settings, checked."""
        kind = OBJECTIVES[self.objective][1]
        try:
            return kind.model_validate(self.options)
        except ValidationError as error:
            raise ValueError(complaint(error, kind)) from None

    def build(self) -> Objective:
        """Return a fresh objective."""
        objective: Objective = OBJECTIVES[self.objective][0](self.settings())
        return objective


class Recipe(BaseModel):
    """A named list of stages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    source: str = ""  # where the recipe comes from: a paper and what deviates from it
    stages: tuple[Stage, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_head(self) -> Recipe:
        specs = [stage.classifier for stage in self.stages if stage.needs_labels]
        if len(set(specs)) > 1:
            raise ValueError("stages with labels share one classifier; expected the same head, normalize and layers")
        if any(spec.several for spec in specs) and len(specs) > 1:
            raise ValueError("of several classifiers one is chosen at the end; expected one stage with labels")
        return self

    @property
    def classifier(self) -> HeadSpec:
        """What stands on top of the backbone; the plain classifier where no stage has labels."""
        return next((stage.classifier for stage in self.stages if stage.needs_labels), HeadSpec())

    @property
    def supervised(self) -> bool:
        """Whether the last stage trains a classifier."""
        return self.stages[-1].needs_labels

    def to_toml(self) -> str:
        """Return the recipe as TOML that ``parse_recipe`` reads back to an equal recipe; defaults are written out."""
        return tomli_w.dumps(self.model_dump(exclude_none=True))

    def save(self, path: Path) -> None:
        """Write the recipe as TOML."""
        write_atomic(path, self.to_toml())


def parse_recipe(values: Mapping[str, Any], *, where: str) -> Recipe:
    """Check a recipe given as plain values. Raises `RecipeError` with the place and the first thing that is wrong."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"recipe {where}: {complaint(error, Recipe)}") from None
