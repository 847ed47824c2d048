"""Distributions of time constants: log-normal fit, its goodness, tails, and a plot on which log-normal is a line."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

LONG_MS = 500  # the tail of Fig. 1A


def log_normal(tau_ms: np.ndarray) -> dict[str, float]:
    """Maximum-likelihood log-normal of time constants that are positive and finite; others are left out.

    Returns:
        "scale_ms", the median of the fit; "sigma", the standard deviation of ln(tau); "ks", the Kolmogorov-Smirnov
        distance, the widest gap between the cumulative shares of fit and data; "ks_limit", which 5 % of true
        log-normal samples of this size exceed (Lilliefors 1967, for 30 values or more).

    Raises:
        ValueError: fewer than two such time constants, or all the same.
    """
    tau = np.asarray(tau_ms, np.float64).ravel()
    log_tau = np.log(tau[(tau > 0) & np.isfinite(tau)])
    if np.unique(log_tau).size < 2:
        raise ValueError("a log-normal fit needs two different time constants that are positive and finite")
    mean, sigma = stats.norm.fit(log_tau)
    ks = stats.kstest(log_tau, "norm", (mean, sigma)).statistic
    return dict(scale_ms=np.exp(mean), sigma=sigma, ks=ks, ks_limit=0.886 / np.sqrt(log_tau.size))


def summary(taus: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """A row for each set of time constants (ms).

    Returns:
        "n"; "q05", "median", "q95" in ms; "long_share", percent above 500 ms; "endless_share", percent at infinity
        (a decay of 1); "zero_share", percent at 0 (a decay of 0); and the columns of `log_normal`.
    """
    rows = {}
    for name, tau in taus.items():
        tau = np.asarray(tau, np.float64).ravel()
        q05, median, q95 = np.quantile(tau, (0.05, 0.5, 0.95), method="lower")  # between inf and inf lies nothing
        shares = dict(long_share=tau > LONG_MS, endless_share=np.isinf(tau), zero_share=tau == 0)
        rows[name] = (
            dict(n=tau.size, q05=q05, median=median, q95=q95)
            | {share: 100 * np.mean(where) for share, where in shares.items()}
            | log_normal(tau)
        )
    return pd.DataFrame.from_dict(rows, orient="index")


def histogram(ax: Axes, tau_ms: np.ndarray, bins: np.ndarray, color: str, label: str | None = None, **options) -> None:
    """Percent of all time constants in each bin, on a logarithmic axis; those outside count in the first and last."""
    tau = np.clip(np.ravel(tau_ms), bins[0], bins[-1])
    ax.hist(tau, bins, weights=np.full(tau.size, 100 / tau.size), color=color, label=label, **options)
    ax.set_xscale("log")


def density(ax: Axes, tau_ms: np.ndarray, bins: np.ndarray, color: str, share: float = 100, **options) -> None:
    """Kernel density of ln(tau) over bins of one width in ln(tau); the area is ``share`` percent."""
    log_tau = np.log(np.ravel(tau_ms))
    _curve(ax, stats.gaussian_kde(log_tau), bins, share, color=color, **options)


def fitted(ax: Axes, tau_ms: np.ndarray, bins: np.ndarray, color: str, share: float = 100, **options) -> None:
    """The log-normal fit, like `density`."""
    fit = log_normal(tau_ms)
    _curve(ax, stats.norm(np.log(fit["scale_ms"]), fit["sigma"]).pdf, bins, share, color=color, **options)


def _curve(ax: Axes, pdf, bins: np.ndarray, share: float, **options) -> None:
    x = np.linspace(np.log(bins[0]), np.log(bins[-1]), 400)
    ax.plot(np.exp(x), share * np.log(bins[1] / bins[0]) * pdf(x), **options)


def quantiles(ax: Axes, tau_ms: np.ndarray, color: str, label: str | None = None, points: int = 400, **options) -> None:
    """Quantiles of time constants against those of a standard normal: log-normal ones lie on a straight line.

    Its height in the middle is the median, its slope sigma. Dots: the quartiles; thin: the line through them, where
    they are positive and finite. Two sets that lie on each other have one distribution.
    """
    tau = np.ravel(tau_ms)
    shares = (np.arange(points) + 0.5) / points
    sorted_tau, quartiles = (np.quantile(tau, q, method="nearest") for q in (shares, (0.25, 0.75)))
    shown = np.where((sorted_tau > 0) & np.isfinite(sorted_tau), sorted_tau, np.nan)
    ax.plot(stats.norm.ppf(shares), shown, color=color, label=label, **options)
    if (quartiles > 0).all() and np.isfinite(quartiles).all():
        at = stats.norm.ppf((0.25, 0.75))
        slope, middle = np.polyfit(at, np.log(quartiles), 1)
        x = np.array([-3, *at, 3])
        ax.plot(x, np.exp(middle + slope * x), "o-", markevery=[1, 2], color=color, lw=0.5, ms=3.5, zorder=1)
    ax.set_yscale("log")


def percent_axis(ax: Axes) -> None:
    """Name the quantiles of a standard normal on the x axis by the percent of values below them."""
    percent = (0.1, 2, 10, 25, 50, 75, 90, 98, 99.9)
    ax.set(xticks=stats.norm.ppf(np.array(percent) / 100), xticklabels=[f"{p:g}" for p in percent])
    ax.set_xlabel("synapses below (%; spaced as quantiles of a normal distribution)")
