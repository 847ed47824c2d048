"""What Table 4 measures in a trained network: time constants by pathway, and what the long ones are worth."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import torch

from ..model.layer import parameter_from_tau, tau_from_decay
from ..runs.train import Config, build_network, evaluate
from ..tasks.synthetic import GROUP, MATCH_CHANNELS

LONG_MS = 700
CAP_MS = 1050  # a trial; a decay of 1 is tau = inf, and no current outlives its trial


def reading(config: dict) -> str:
    """A config's reading of "decays are trained directly": architecture, parameter, its relative learning rate."""
    rate = config["decay_lr_scale"]
    return f"{'R' if config['recurrent'] else 'F'}, {config['parameterization']}" + (f" x{rate:g}" if rate != 1 else "")


def input_taus(record: dict) -> np.ndarray:
    """Learned time constants of the input synapses in ms, (neuron, channel); inf where a decay is 1."""
    decay = torch.from_numpy(record["decays"]["hidden_final"])[:, :MATCH_CHANNELS].double()
    return tau_from_decay(decay, record["config"]["dt_ms"]).numpy()


def measure(record: dict) -> dict:
    """The quantities of Table 4 for one run on record with details.

    Returns:
        "reading", "tau_s_mean_ms" (mu), "seed"; "cue_tau", "noise_tau": mean tau in ms of the input synapses of the
        cue and the noise channels, each counted as `CAP_MS` at most; "cue_median", "noise_median"; "long_share", of
        the input synapses, in percent, with tau > 700 ms; "accuracy", "reset_accuracy" in percent, the latter after all
        hidden synapses with tau > 700 ms, recurrent ones included, went back to mu.
    """
    config = Config(**record["config"])
    network = build_network(config)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in record["state"].items()})
    layer = network.layers[0]
    with torch.no_grad():
        mu = parameter_from_tau(torch.tensor(float(config.tau_s_mean_ms)), config.dt_ms, config.parameterization)
        layer.decay_parameter[layer.tau_s_ms() > LONG_MS] = mu
    tau = input_taus(record)
    cue, noise = tau[:, : 2 * GROUP], tau[:, 2 * GROUP :]
    return {
        "reading": reading(record["config"]),
        "tau_s_mean_ms": config.tau_s_mean_ms,
        "seed": config.seed,
        "cue_tau": np.minimum(cue, CAP_MS).mean(),
        "noise_tau": np.minimum(noise, CAP_MS).mean(),
        "cue_median": np.median(cue),
        "noise_median": np.median(noise),
        "long_share": 100 * (tau > LONG_MS).mean(),
        "accuracy": 100 * record["metrics"]["accuracy"],
        "reset_accuracy": 100 * evaluate(network, config)["accuracy"],
    }


def table(records: list[dict]) -> pd.DataFrame:
    """`measure` for every run that did not fail, a row each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a network for each core is faster than all cores for one network
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return pd.DataFrame(pool.map(measure, [r for r in records if "failed" not in r]))
    finally:
        torch.set_num_threads(threads)
