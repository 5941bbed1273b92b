"""The finetuned product: a network with its classes and preprocessing. Predict, save, load, export."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from acclimate.errors import InputError, ModelError, unknown
from acclimate.images import Images, decoded
from acclimate.models import (
    Backbone,
    Precision,
    Preprocess,
    autocast,
    choose_device,
    choose_precision,
    load_backbone,
    load_strictly,
    read_weights,
    save_weights,
    to_batch,
)
from acclimate.models.heads import Head, head_card, own_head, with_head
from acclimate.models.network import classifiers
from acclimate.models.taps import read_card
from acclimate.storage.runtime import AUTO, Runtime
from acclimate.storage.store import write_atomic
from acclimate.views import Normalize, center

WEIGHTS = "weights.safetensors"
TTA = ("none", "hflip")


@dataclass(frozen=True)
class Classifier:
    """A finetuned network with its classifier, in eval mode, on the CPU; class names in the order of the logits."""

    network: nn.Module = field(repr=False)
    classes: tuple[str, ...]
    backbone: Backbone

    @classmethod
    def of(cls, network: nn.Module, classes: Sequence[str], backbone: Backbone) -> Classifier:
        """Return a classifier from a trained network and the backbone it started from."""
        return cls(network.eval(), tuple(classes), backbone)

    @classmethod
    def load(cls, run: str | Path) -> Classifier:
        """Return the classifier of a run's folder, or of its weights file.

        Raises ModelError when there are no weights, or they have no classifier.
        """
        path = Path(run) / WEIGHTS if Path(run).is_dir() else Path(run)
        if not path.is_file():
            raise ModelError(
                f"'{run}' holds no classifier; expected the folder of a finished run, with {WEIGHTS} in it"
            )
        tensors, card = read_weights(path)
        if not card.get("classes"):
            raise ModelError(f"'{path}' has no classifier; expected weights from 'acclimate tune', not from 'adapt'")
        backbone = load_backbone(path)
        spec = read_card(card.get("head", {}))
        network = with_head(
            backbone.network(len(card["classes"])), spec, len(card["classes"]), backbone.preprocess.size
        )
        tensors = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
        load_strictly(network, tensors, architecture=backbone.architecture, where=str(path))
        return cls(network.eval(), tuple(card["classes"]), backbone)

    def save(self, folder: Path) -> None:
        """Write the weights under timm's own names, with a header that says what they are."""
        card = {**self.backbone.card(), "classes": list(self.classes), "head": head_card(self.network)}
        save_weights(folder / WEIGHTS, self.network, card)

    def predict_proba(
        self, images: Images, runtime: Runtime = AUTO, *, tta: str = "none", batch: int = 64
    ) -> npt.NDArray[np.float64]:
        """Return class probabilities ``(n, C)``.

        Parameters
        ----------
        tta
            ``hflip`` averages the probabilities of each image and its mirror image.
        """
        views = self.predict_views(images, runtime, tta=tta, batch=batch)
        mean: npt.NDArray[np.float64] = views.mean(0)
        return mean

    def predict_views(
        self,
        images: Images,
        runtime: Runtime = AUTO,
        *,
        indices: npt.NDArray[np.int64] | None = None,
        tta: str = "none",
        batch: int = 64,
    ) -> npt.NDArray[np.float64]:
        """Return class probabilities of each view, ``(1, n, C)``; with ``hflip`` ``(2, n, C)``, mirror images last.

        Parameters
        ----------
        indices
            Images to look at; default all.
        """
        if tta not in TTA:
            raise InputError(unknown("test-time augmentation", tta, TTA))
        wanted = np.arange(len(images)) if indices is None else indices
        device = choose_device(runtime.device)
        precision = choose_precision(runtime.precision, device)
        preprocess = self.backbone.preprocess
        normalize = Normalize(preprocess.mean, preprocess.std)
        pixels = decoded(images, preprocess.geometry, indices=wanted, cache=runtime.cache).array
        network = self.network.to(device)
        parts = []
        for start in range(0, len(wanted), batch):
            x = center(to_batch(pixels[wanted[start : start + batch]]).to(device), preprocess.size, normalize)
            flips = [x] if tta == "none" else [x, x.flip(-1)]
            parts.append(torch.stack([_softmax(network, view, device, precision) for view in flips]))
        out: npt.NDArray[np.float64] = torch.cat(parts, dim=1).cpu().double().numpy()
        return out

    def predict(self, images: Images, runtime: Runtime = AUTO, *, tta: str = "none") -> list[str]:
        """Return the most probable class of each image."""
        return [self.classes[i] for i in self.predict_proba(images, runtime, tta=tta).argmax(1)]


@torch.inference_mode()
def _softmax(network: nn.Module, x: Tensor, device: str, precision: Precision) -> Tensor:
    with autocast(precision, device):
        logits: Tensor = network(x)
    return logits.float().softmax(1)


def predictions_csv(names: Sequence[str], classes: Sequence[str], probabilities: npt.NDArray[np.float64]) -> str:
    """Return ``path,label,confidence`` and one column a class as CSV text.

    Names that a spreadsheet would run as a formula are written with a leading apostrophe.
    """
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(["path", "label", "confidence", *(_inert(f"p_{name}") for name in classes)])
    for name, p in zip(names, probabilities, strict=True):
        best = int(p.argmax())
        rows.writerow([_inert(name), _inert(classes[best]), f"{p[best]:.6f}", *(f"{value:.6f}" for value in p)])
    return buffer.getvalue()


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


class Deployed(nn.Module):
    """What is exported: pixels in [0, 1] in, class probabilities out; normalisation is part of the graph."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, preprocess: Preprocess) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(preprocess.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(preprocess.std).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(n, C)`` probabilities of ``(n, 3, h, w)`` pixels."""
        logits: Tensor = self.network((x - self.mean) / self.std)
        return logits.softmax(1)


def _as_timm(classifier: Classifier) -> nn.Module:
    """Return the network with timm's own classifier; what normalises its features is folded into its weights.

    Raises ModelError when the head is no linear function of timm's pooled features.
    """
    head = own_head(classifier.network)
    if head is None:
        return classifier.network
    card = head_card(classifier.network)
    folded = head.folded() if isinstance(head, Head) and not card["layers"] else None
    if folded is None:
        raise ModelError(
            f"timm has no classifier such as head '{card['kind']}', normalize '{card['normalize']}', layers "
            f"{card['layers']}; expected a linear one on pooled features. Export to onnx instead"
        )
    plain = classifier.backbone.network(len(classifier.classes))
    state = {name: t for name, t in classifier.network.state_dict().items() if name in plain.state_dict()}
    plain.load_state_dict(state, strict=False)
    linear = cast(nn.Linear, classifiers(plain)[0])
    linear.weight.data.copy_(folded[0].view_as(linear.weight))
    linear.bias.data.copy_(folded[1])
    return plain.eval()


def export_timm(classifier: Classifier, folder: Path) -> Path:
    """Write ``model.safetensors`` and ``config.json`` as a hub has them: timm loads ``local-dir:FOLDER``."""
    plain = _as_timm(classifier)
    network, n_classes = cast(Any, plain), len(classifier.classes)
    preprocess = asdict(classifier.backbone.preprocess)
    size = preprocess.pop("size")
    config: Mapping[str, Any] = {
        "architecture": classifier.backbone.architecture.partition(".")[0],
        "num_classes": n_classes,
        "num_features": network.num_features,
        "label_names": list(classifier.classes),
        "model_args": dict(classifier.backbone.arguments),
        "pretrained_cfg": {
            "input_size": [3, *size],
            **preprocess,
            "num_classes": n_classes,
            **{key: network.pretrained_cfg.get(key) for key in ("pool_size", "first_conv", "classifier")},
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / "model.safetensors", plain, {"preprocess": asdict(classifier.backbone.preprocess)})
    write_atomic(folder / "config.json", json.dumps(config, indent=2))
    return folder


def export_onnx(classifier: Classifier, path: Path) -> dict[str, float]:
    """Write an ONNX graph with a free batch size and check it against onnxruntime.

    Raises InputError when the ``onnx`` extra is not installed. Raises ModelError when the two differ by more than 1e-4.

    Returns
    -------
    ``max_difference`` of the probabilities of eight random images between torch and onnxruntime.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  (torch's exporter needs it)
    except ImportError as error:
        raise InputError(
            f"export to ONNX needs '{error.name}'; install it with: pip install 'acclimate[onnx]'"
        ) from None
    model = Deployed(classifier.network, classifier.backbone.preprocess).eval()
    x = torch.rand(8, 3, *classifier.backbone.preprocess.size, generator=torch.Generator().manual_seed(0))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        model,
        (x,),
        str(path),
        input_names=["image"],
        output_names=["probabilities"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    theirs = session.run(None, {"image": x.numpy()})[0]
    with torch.inference_mode():
        difference = float(np.abs(model(x).numpy() - theirs).max())
    if difference > 1e-4:
        path.unlink()
        raise ModelError(
            f"the ONNX graph differs from torch by {difference:.2g}; expected at most 1e-4; it was not kept"
        )
    return {"max_difference": difference}
