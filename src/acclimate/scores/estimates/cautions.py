"""When an estimate says little about a model, in one line each: too few images for its width, or of a class."""

from __future__ import annotations

from acclimate.scores.estimates.prepared import Prepared

FEW: int = 5  # images of a class, below which its mean and variance are mostly chance
LOWEST = 200  # images of which 0.5 % is one


def none(prepared: Prepared) -> str | None:
    """Return no caution."""


def saturated(prepared: Prepared) -> str | None:
    """Warn where any features at all would tell the classes apart in-sample."""
    n, d = prepared.n, prepared.d
    if n <= d + 1:
        return f"worthless here: with n <= d ({n} <= {d}) any features, even noise, tell the classes apart"
    if n < 3 * d:
        return f"flattered: n is less than three times d ({n}, {d}), and noise alone goes far"
    return few_a_class(prepared)


def wide_noise(prepared: Prepared) -> str | None:
    """Warn where noise scores higher in wider features."""
    n, d = prepared.n, prepared.d
    if n < d:
        return f"do not compare models of different width: with n < d ({n} < {d}) noise scores higher the wider it is"
    return few_a_class(prepared)


def few_a_class(prepared: Prepared) -> str | None:
    """Warn of a class with hardly an image."""
    least = int(prepared.counts.min())
    if least >= FEW:
        return None
    return (
        f"mostly chance: the smallest class has {least} image{'' if least == 1 else 's'}; label {FEW} or more of each"
    )


def pool_of_64(prepared: Prepared) -> str | None:
    """Warn where NCTI's 64 dimensions are too many."""
    n, width = prepared.n, min(64, prepared.d)
    if n <= width + 1:
        return f"worthless here: with {n} images in {width} dimensions any features tell the classes apart"
    if n < 3 * width:
        return f"flattered: {n} images are less than three times its {width} dimensions"
    return few_a_class(prepared)


def own_units(prepared: Prepared) -> str | None:
    """Warn as for SFDA, or say that no features of the source set the units."""
    return saturated(prepared) or "PED-style: units are these images' own, not those of ImageNet's validation features"


def few_for_rank(prepared: Prepared) -> str | None:
    """Warn where the number of images bounds the rank."""
    n, d = prepared.n, prepared.d
    return f"bounded by the number of images ({n}) and not by the model ({d} dimensions)" if n < d else None


def many_sources(prepared: Prepared) -> str | None:
    """Warn where a source class has hardly an image of its own."""
    z = 0 if prepared.p is None else prepared.p.shape[1]
    return f"flattered: {z} source classes for {prepared.n} images" if prepared.n < FEW * z else None


def lowest_image(prepared: Prepared) -> str | None:
    """Warn where the lowest 0.5 % are one image."""
    return f"the number of a single image: 0.5 % of {prepared.n}" if prepared.n < 2 * LOWEST else None
