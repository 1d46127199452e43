"""Agreement of two readers: lesions matched, Dice and TMTV of a patient; kappa and Bland–Altman limits of a cohort."""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from wslpet.analysis.overlap import agreement
from wslpet.core.arrays import Array

# Normal quantile of limits that hold 95 % of the differences (Bland and Altman, Lancet 1986; 327: 307).
LIMITS = 1.96


@dataclass(frozen=True)
class PairAgreement:
    """Agreement of two readers on one patient; the first reader is the first by name.

    Parameters
    ----------
    readers : names of the two readers.
    types : each reader's cancer type.
    lesions : each reader's number of lesions.
    matched : number of lesions that both have, see `matched_lesions`.
    dice : Dice of the voxels of all lesions; 1 if neither has a lesion.
    tmtv_ml : each reader's total metabolic tumour volume.
    """

    readers: tuple[str, str]
    types: tuple[str, str]
    lesions: tuple[int, int]
    matched: int
    dice: float
    tmtv_ml: tuple[float, float]

    @property
    def type_agrees(self) -> bool:
        """Whether both readers recorded the same cancer type."""
        return self.types[0] == self.types[1]

    @property
    def tmtv_difference_ml(self) -> float:
        """Difference of TMTV, the second reader's minus the first's, ml."""
        return self.tmtv_ml[1] - self.tmtv_ml[0]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> PairAgreement:
        """Inverse of `to_dict`, also after JSON."""
        pairs = {name: tuple(record[name]) for name in ("readers", "types", "lesions", "tmtv_ml")}
        return cls(**{**record, **pairs})


@dataclass(frozen=True)
class CohortAgreement:
    """Agreement of two readers over the patients that both have read.

    Parameters
    ----------
    readers : the two names.
    patients : number of patients that both have read.
    types_agree : share of them with the same cancer type.
    kappa : Cohen's kappa of the cancer type; None where it is not defined, as when both recorded one type only.
    lesions, matched : sums over the patients.
    lesions_agree : 2 · matched / lesions of both; None where neither outlines any.
    dice_mean, dice_median : over the patients.
    tmtv_bias_ml : mean difference of TMTV, the second reader's minus the first's.
    tmtv_sd_ml : standard deviation of the differences (n - 1); None of one patient.
    tmtv_limits_ml : limits of agreement, bias ± 1.96 standard deviations.
    """

    readers: tuple[str, str]
    patients: int
    types_agree: float
    kappa: float | None
    lesions: tuple[int, int]
    matched: int
    lesions_agree: float | None
    dice_mean: float
    dice_median: float
    tmtv_bias_ml: float
    tmtv_sd_ml: float | None
    tmtv_limits_ml: tuple[float, float] | None


def matched_lesions(first: Array, second: Array) -> int:
    """Lesions that two readers have in common.

    Two lesions can match if they share a voxel, and each matches at most one. Of all assignments, the one with the most
    shared voxels is used (Hungarian method).

    Parameters
    ----------
    first, second : (i, j, k) lesions' numbers on one grid, 0 is none.
    """
    both = (first > 0) & (second > 0)
    if not both.any():
        return 0
    shared = np.zeros((int(first.max()) + 1, int(second.max()) + 1))
    np.add.at(shared, (first[both], second[both]), 1)
    rows, columns = linear_sum_assignment(shared, maximize=True)
    return int((shared[rows, columns] > 0).sum())


def compare(
    readers: tuple[str, str], types: tuple[str, str], labels: tuple[Array, Array], voxel_ml: float
) -> PairAgreement:
    """Compare two readings of one scan; `labels` as of `matched_lesions`."""
    first, second = labels
    counts = (np.unique(first[first > 0]).size, np.unique(second[second > 0]).size)
    volumes = (np.count_nonzero(first) * voxel_ml, np.count_nonzero(second) * voxel_ml)
    dice = agreement(first > 0, second > 0, voxel_ml).dice if max(counts) else 1.0
    return PairAgreement(readers, types, counts, matched_lesions(first, second), dice, volumes)


def summarise(pairs: Iterable[PairAgreement]) -> list[CohortAgreement]:
    """Summarise each pair of readers over their common patients, sorted by name."""
    by_readers: dict[tuple[str, str], list[PairAgreement]] = defaultdict(list)
    for pair in pairs:
        by_readers[pair.readers].append(pair)
    return [_summary(readers, found) for readers, found in sorted(by_readers.items())]


def _summary(readers: tuple[str, str], pairs: Sequence[PairAgreement]) -> CohortAgreement:
    lesions = (sum(pair.lesions[0] for pair in pairs), sum(pair.lesions[1] for pair in pairs))
    matched = sum(pair.matched for pair in pairs)
    dice = np.array([pair.dice for pair in pairs])
    differences = np.array([pair.tmtv_difference_ml for pair in pairs])
    bias = float(differences.mean())
    deviation = float(differences.std(ddof=1)) if len(pairs) > 1 else None
    limits = None if deviation is None else (bias - LIMITS * deviation, bias + LIMITS * deviation)
    return CohortAgreement(
        readers,
        len(pairs),
        float(np.mean([pair.type_agrees for pair in pairs])),
        kappa([pair.types for pair in pairs]),
        lesions,
        matched,
        2 * matched / sum(lesions) if sum(lesions) else None,
        float(dice.mean()),
        float(np.median(dice)),
        bias,
        deviation,
        limits,
    )


def kappa(types: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa of two readers' cancer types, one pair per patient; None where it is not defined."""
    from sklearn.metrics import cohen_kappa_score  # slow to import

    first, second = zip(*types, strict=True)
    if len({*first, *second}) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = float(cohen_kappa_score(first, second))
    return value if math.isfinite(value) else None
