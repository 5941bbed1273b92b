"""Domain presets: what each kind of images allows, as laws over every view and every domain."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from scipy import stats

from acclimate.errors import RecipeError
from acclimate.views import AUGMENTS, DOMAINS, Augment, Domain, for_domain, scaled
from acclimate.views.draw import draw

EVERYTHING = Augment(
    crop=(0.05, 1.0),
    vflip=0.1,
    rot90=0.2,
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.2,
    jitter=0.8,
    gray=0.2,
    blur=0.5,
    solarize=0.2,
)
COLOURS = ("hue", "saturation", "gray", "solarize")


def settings(augment: Augment, *names: str) -> tuple[float, ...]:
    return tuple(getattr(augment, name) for name in names)


def test_the_domains_are_those_of_the_docs() -> None:
    assert list(DOMAINS) == ["natural", "microscopy", "aerial", "document", "xray"]
    assert DOMAINS["natural"] == Domain()


@pytest.mark.parametrize("domain", DOMAINS)
def test_evaluation_stays_evaluation(domain: str) -> None:
    assert for_domain(AUGMENTS["none"], domain) == AUGMENTS["none"]


@pytest.mark.parametrize("name", AUGMENTS)
def test_natural_changes_nothing(name: str) -> None:
    assert for_domain(AUGMENTS[name], "natural") == AUGMENTS[name]


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("augment", [*AUGMENTS.values(), EVERYTHING, scaled(EVERYTHING, 2.0)])
def test_a_domain_never_adds_colour_and_never_shrinks_a_crop(augment: Augment, domain: str) -> None:
    got = for_domain(augment, domain)
    assert all(getattr(got, name) <= getattr(augment, name) for name in COLOURS)
    assert settings(got, "brightness", "contrast", "jitter", "blur", "scale", "ratio") == settings(
        augment, "brightness", "contrast", "jitter", "blur", "scale", "ratio"
    )
    assert (got.crop is None) == (augment.crop is None)
    if got.crop and augment.crop:
        assert got.crop[0] >= max(augment.crop[0], DOMAINS[domain].smallest_crop)
        assert augment.crop[1] <= got.crop[1] <= 1
    assert for_domain(got, domain).crop == got.crop


@pytest.mark.parametrize("domain", ["microscopy", "aerial"])
def test_without_an_upright_all_eight_orientations_are_equally_likely(domain: str) -> None:
    got = for_domain(AUGMENTS["byol-1"], domain)
    row = draw(4000, (8, 8), (8, 8), got, torch.Generator().manual_seed(0))
    code = row.flip[:, 0] * 4 + row.flip[:, 1] * 2 + row.turn
    assert stats.chisquare(code.bincount(minlength=8).numpy()).pvalue > 1e-3
    assert settings(got, "hue", "gray", "solarize", "saturation") == (0.05, 0.0, 0.0, 0.2)
    still = dataclasses.replace(AUGMENTS["byol-1"], hflip=0.0)  # a view that never flips does not start to
    assert settings(for_domain(still, domain), "hflip", "vflip", "rot90") == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("domain", "smallest"), [("document", 0.3), ("xray", 0.2)])
def test_documents_and_xrays_have_sides_and_no_colour(domain: str, smallest: float) -> None:
    got = for_domain(EVERYTHING, domain)
    assert settings(got, "hflip", "vflip", "rot90", *COLOURS) == (0.0,) * 7
    assert settings(got, "brightness", "contrast", "jitter") == (0.4, 0.4, 0.8)
    assert got.crop == (smallest, 1.0)


def test_crops_that_carry_scale_are_not_too_small() -> None:
    assert for_domain(EVERYTHING, "microscopy").crop == (0.2, 1.0)
    assert for_domain(EVERYTHING, "aerial").crop == (0.05, 1.0)
    assert for_domain(AUGMENTS["light"], "document").crop == (0.5, 1.0)
    small = for_domain(
        Augment(crop=(0.05, 0.14)), "microscopy"
    ).crop  # multi-crop keeps a range, in the same proportion
    assert small is not None
    assert small[0] == 0.2
    assert small[1] == pytest.approx(0.2 ** (torch.tensor(0.14).log() / torch.tensor(0.05).log()).item())


def test_a_preset_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DOMAINS["xray"].hue = 1.0  # type: ignore[misc]  # the point of the test


def test_an_unknown_domain_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"unknown domain 'x-ray'; did you mean 'xray'\? Expected one of: aerial, "):
        for_domain(AUGMENTS["light"], "x-ray")
