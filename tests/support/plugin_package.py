"""Installs a plug-in the way pip does: modules, metadata and entry points in one folder of the path.

No build backend is at hand where the tests run, and none is needed for a package of one module: what an
installer leaves behind is specified (packaging.python.org, "Recording installed projects").
"""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
WIKIPEDIA = ROOT / "examples" / "amos-provider-wikipedia"


def install(package: Path, target: Path) -> Path:
    """Put the package of that folder into the target, as `pip install --no-deps --target` would."""
    described = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))
    project = described["project"]
    modules = described["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    target.mkdir(exist_ok=True)
    for module in modules:
        shutil.copy(package / module, target / module)
    points = project["entry-points"]["amos.providers"]
    write_metadata(target, project["name"], project["version"], points)
    return target


def write_metadata(target: Path, name: str, version: str, points: dict[str, str]) -> None:
    """What says that a distribution of this name is installed there, and which kinds it offers."""
    info = target / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = "".join(f"{kind} = {value}\n" for kind, value in points.items())
    (info / "entry_points.txt").write_text(f"[amos.providers]\n{lines}")
    (info / "INSTALLER").write_text("pip\n")


def install_kinds(target: Path, source: str, kinds: dict[str, str], module: str = "rogue_kinds") -> Path:
    """A package made of this source alone, which offers kinds by the names of the objects that are them."""
    target.mkdir(exist_ok=True)
    (target / f"{module}.py").write_text(source, encoding="utf-8")
    write_metadata(target, module, "1.0", {kind: f"{module}:{thing}" for kind, thing in kinds.items()})
    return target
