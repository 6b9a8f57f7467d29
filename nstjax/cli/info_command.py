"""``nstjax info``."""

from collections.abc import Sequence

from nstjax.cli.options_weights import InfoOptions
from nstjax.cli.parse import parse
from nstjax.cli.runtime import check_device
from nstjax.files import cache_folder
from nstjax.generators.store import installed_generators
from nstjax.reports import environment
from nstjax.weights.store import installed


def run_info(arguments: Sequence[str]) -> int:
    """Print versions, devices, the cache's place and the installed weights; returns 0."""
    parse(InfoOptions, arguments, "nstjax info")
    check_device()
    facts = environment()
    print(f"python   {facts['python']} on {facts['machine']}")
    print("packages " + ", ".join(f"{name} {version}" for name, version in facts["versions"].items()))
    device = facts["device"]
    print(f"device   {device['count']} × {device['platform']} ({device['kind']})")
    print(f"cache    {cache_folder()}")
    found = installed()
    hint = "" if "vgg19" in found else " (nstjax weights fetch vgg19 gets VGG-19)"
    print(f"weights  {', '.join(found) or 'none'}{hint}")
    print(f"models   {', '.join(installed_generators()) or 'none (nstjax train makes them)'}")
    return 0
