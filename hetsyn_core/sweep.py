"""Train many networks side by side, one thread each."""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

import torch
from tqdm.auto import tqdm

from .train import Config, TrainingFailed, train


def run(configs: Sequence[Config], workers: int | None = None) -> list[dict]:
    """Records of the configs, in their order; see `train.train`.

    A run that cannot go on gives {"config", "seed", "failed": reason} in place of its record.

    Args:
        workers: processes; by default one a core.
    """
    workers = min(workers or os.cpu_count() or 1, len(configs))
    # Let glibc keep what a step frees: fetching fresh pages for the next costs more than the kernels do.
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**25))
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**30))
    records: list = [None] * len(configs)
    # A fresh interpreter for each worker: forking a process with threads (a notebook's) can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        pending = {pool.submit(_train, config): k for k, config in enumerate(configs)}
        for future in tqdm(as_completed(pending), total=len(configs), desc="training", unit="run"):
            records[pending[future]] = future.result()
    return records


def _train(config: Config) -> dict:
    try:
        return train(config)
    except TrainingFailed as error:
        return {"config": config.__dict__, "seed": config.seed, "failed": str(error)}
