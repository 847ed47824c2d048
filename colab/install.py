"""Install the project beside what Colab has: python colab/install.py

Colab's torch is built for its GPUs, so it stays whatever version it is; of everything else only what is missing
or too old is installed.
"""

import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
KEPT = "torch"
NOT_HERE = "jupyterlab"  # Colab is the notebook


def installed(name: str) -> str | None:
    """Version of an installed package, None if there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def wanted(requirements: list[str], installed=installed) -> list[str]:
    """Those requirements that are not met, but for torch and JupyterLab."""
    found = []
    for requirement in map(Requirement, requirements):
        here = installed(requirement.name)
        applies = requirement.marker is None or requirement.marker.evaluate()
        met = here is not None and requirement.specifier.contains(here, prereleases=True)
        if applies and not met and requirement.name not in (KEPT, NOT_HERE):
            found.append(str(requirement))
    return found


def main() -> None:
    torch = installed(KEPT)
    if torch is None:
        sys.exit("no torch here: this is not Colab, follow README.md")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with tempfile.TemporaryDirectory() as folder:
        keep = Path(folder, "keep.txt")
        keep.write_text(f"{KEPT}=={torch}\n", encoding="utf-8")
        if packages := wanted(project["dependencies"]):
            subprocess.run([*pip, "--constraint", keep, *packages], check=True)
    subprocess.run([*pip, "--no-deps", "--editable", ROOT], check=True)
    print(f"hetsyn_core {project['version']} is ready, with torch {torch}")


if __name__ == "__main__":
    main()
