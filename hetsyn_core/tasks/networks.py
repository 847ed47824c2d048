"""The networks of the paper, with the batches they are trained on, for costs and benchmarks."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A network and a batch of the paper."""

    name: str
    batch: int
    steps: int
    sizes: tuple[int, ...]
    recurrent: bool
    density: float  # share of inputs that spike at a step; 1: analog input
    gaussian: bool = False  # the multi-Gaussian surrogate
    spiking_readout: bool = False
    tiny_is_zero: bool = False  # see `model.fast.limits`

    @property
    def analog(self) -> bool:
        """Whether the input is a number at every step instead of spikes."""
        return self.density == 1


SHAPES = (
    Shape("pattern F (Fig. 2)", 1, 2000, (100, 100, 1), False, 0.01),
    Shape("pattern R (Fig. 2)", 1, 2000, (100, 100, 1), True, 0.01),
    Shape("match F (Fig. 3)", 32, 210, (30, 100, 2), False, 0.04),
    Shape("match R (Fig. 3)", 32, 210, (30, 100, 2), True, 0.04),
    Shape("SHD (Fig. 4)", 32, 250, (700, 128, 64, 20), True, 0.04, gaussian=True),
    Shape(
        "S-MNIST (Table 2)", 256, 784, (1, 64, 64, 10), True, 1, gaussian=True, spiking_readout=True, tiny_is_zero=True
    ),
)
