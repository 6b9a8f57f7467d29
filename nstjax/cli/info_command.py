"""``nstjax info``: shows versions, devices, the cache, and what is installed."""

import importlib.util
import json
from collections.abc import Sequence
from typing import Any

from nstjax.cli.cache_command import readable, sizes
from nstjax.cli.options_weights import InfoOptions
from nstjax.cli.parse import parse
from nstjax.cli.runtime import check_device
from nstjax.data.tfds import PACKAGES
from nstjax.files import cache_folder
from nstjax.generators.store import installed_generators
from nstjax.reports import environment
from nstjax.weights.store import installed

EXTRAS = {
    "video": ("av", "cv2"),
    "heic": ("pillow_heif",),
    "datasets": PACKAGES,
    "coco": ("tensorflow",),
    "web": ("gradio",),
    "onnx": ("onnx", "onnxruntime"),
    "cluster": ("distributed", "cryptography"),
}
"""For each optional extra, the modules that it adds."""


def facts() -> dict[str, Any]:
    """Return the facts that ``nstjax info --json`` prints."""
    return {
        **environment(),
        "extras": [
            name
            for name, modules in EXTRAS.items()
            if all(importlib.util.find_spec(module) is not None for module in modules)
        ],
        "cache": {"folder": str(cache_folder()), "bytes": sum(sizes().values())},
        "weights": {name: str(path) for name, (path, _) in installed().items()},
        "generators": {name: str(path) for name, (path, _) in installed_generators().items()},
    }


def run_info(arguments: Sequence[str]) -> int:
    """Run ``nstjax info``: print versions, devices, the cache and what is installed.

    Args:
        arguments: the arguments after the command's name.

    Returns:
        The exit code, 0.

    Raises:
        InputError: If the input is not valid, or JAX finds no device.
    """
    options = parse(InfoOptions, arguments, "nstjax info")
    check_device()
    found = facts()
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    device, cache, weights = found["device"], found["cache"], found["weights"]
    print(f"python     {found['python']} on {found['machine']}")
    print("packages   " + ", ".join(f"{name} {version}" for name, version in found["versions"].items()))
    missing = [name for name in EXTRAS if name not in found["extras"]]
    hint = f" (not installed: {', '.join(missing)})" if missing else ""
    print(f"extras     {', '.join(found['extras']) or 'none'}{hint}")
    print(f"device     {device['count']} × {device['platform']} ({device['kind']})")
    print(f"cache      {cache['folder']}, {readable(cache['bytes'])}")
    hint = "" if "vgg19" in weights else " (nstjax weights fetch vgg19 gets VGG-19)"
    print(f"weights    {', '.join(weights) or 'none'}{hint}")
    print(f"generators {', '.join(found['generators']) or 'none (nstjax train makes them)'}")
    return 0
