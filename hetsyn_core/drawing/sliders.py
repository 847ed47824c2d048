"""Sliders under a picture, for a reader in JupyterLab."""

import io
from collections.abc import Callable

import matplotlib.pyplot as plt
from ipywidgets import FloatSlider, Image, Layout, VBox
from matplotlib.figure import Figure


def slide(draw: Callable[..., Figure], **sliders: FloatSlider) -> VBox:
    """The sliders and the figure of `draw(**values)`, drawn anew when one has been moved.

    The picture is a widget as the sliders are: what `ipywidgets.interact` captures may arrive before the page is
    ready for it, and is lost or shown elsewhere when all cells run at once.
    """
    picture = Image(format="png")

    def redraw(_=None):
        fig = draw(**{name: slider.value for name, slider in sliders.items()})
        png = io.BytesIO()
        fig.savefig(png, bbox_inches="tight")
        plt.close(fig)
        picture.value = png.getvalue()

    for slider in sliders.values():
        slider.continuous_update = False  # one picture per move
        slider.observe(redraw, "value")
    redraw()
    return VBox([*sliders.values(), picture], layout=Layout(align_items="flex-start"))  # else it fills the page's width
