"""The options of ``nstjax web``."""

import dataclasses
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, arg


@dataclasses.dataclass(frozen=True)
class WebOptions:
    """Serve a page to stylize pictures in a browser. It needs the extra web: pip install 'nstjax[web]'.

    The page is served from this machine and uses nothing from the internet. The files of a page are deleted when it is closed, and all files at the end. Press Ctrl-C to end.
    """

    host: str = "127.0.0.1"
    """Address to listen on. The default is reachable from this machine only; 0.0.0.0 is reachable from the network, without a password."""
    port: int = 7860
    """Port to listen on; 0 chooses a free one."""
    open: FlagCreatePairsOff[bool] = False
    """Open the page in the default browser."""
    quiet: Annotated[bool, arg(aliases=["-q"])] = False
    """Print errors only."""
