# SPDX-License-Identifier: MIT
"""Medians with what surrounds them."""

import math
import random
import statistics

RESAMPLES = 2000


def spread(values):
    """(median, lower, upper) of a sample: its quartiles, so that one straggler is no error bar."""
    values = sorted(values)
    if len(values) < 3:
        return statistics.median(values), values[0], values[-1]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return statistics.median(values), low, high


def interval(values, share=0.95):
    """(mean, lower, upper): where the mean lies, by a bootstrap that always draws alike."""
    values = list(values)
    chance = random.Random(1)
    means = sorted(statistics.fmean(chance.choices(values, k=len(values)))
                   for _ in range(RESAMPLES))
    cut = int((1 - share) / 2 * RESAMPLES)
    return statistics.fmean(values), means[cut], means[-1 - cut]


def error(ours, theirs):
    """How far ours is off, as a share of theirs."""
    return (ours - theirs) / theirs if theirs else (0.0 if ours == theirs else math.inf)
