"""Memory that this process can still use: of the machine, of its control groups, and of the device."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

# For each cgroup version: the files with the limits, the file with the current use, and the key of memory.stat for the
# memory that the kernel can reclaim at once.
_FILES = {
    "cgroup2": (("memory.max", "memory.high"), "memory.current", "inactive_file"),
    "cgroup": (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
}


def _memory_groups(root: Path) -> Iterator[tuple[str, Path, Path]]:
    """Yield each hierarchy with a memory controller: its cgroup version, its mount point, and this process's group."""
    own: dict[str, str] = {}
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            own["cgroup2"] = path
        elif "memory" in controllers.split(","):
            own["cgroup"] = path
    for line in (root / "proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind not in own or (kind == "cgroup" and "memory" not in options.split(",")):
            continue
        top, mounted = (
            re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), text) for text in before.split(" ")[3:5]
        )
        mount = root / mounted.lstrip("/")
        # In a container the mount point may be a subgroup of the host's hierarchy; `top` is its path there.
        inside = own[kind] if top == "/" else own[kind].removeprefix(top)
        group = mount / inside.lstrip("/")
        yield kind, mount, group if ".." not in group.parts and group.is_dir() else mount


def _free_in_group(kind: str, group: Path) -> float:
    """Return how many bytes are left under one group's own limit; infinity if the group has no limit."""
    limits, use, reclaimable = _FILES[kind]
    found = []
    for name in limits:
        try:
            found.append(float((group / name).read_text()))  # "max" is no limit
        except (OSError, ValueError):
            continue
    if not found or min(found) >= 2**62:  # version 1 writes a huge number for "no limit"
        return float("inf")
    used = 0.0
    with contextlib.suppress(OSError, ValueError):
        used = float((group / use).read_text())
        lines = (group / "memory.stat").read_text().splitlines()
        stat = dict(line.split(" ", 1) for line in lines)
        used -= min(used, float(stat.get(reclaimable, 0)))
    return max(0.0, min(found) - used)


def cgroup_bytes(root: Path = Path("/")) -> float:
    """Return the memory that this process's control groups leave it, in bytes (Linux, versions 1 and 2).

    Every group from the process's own up to the root can have a limit; the smallest remainder is returned. Cached files
    that the kernel can reclaim at once do not count as used.

    Args:
        root: folder that contains ``proc`` and the mount points.

    Returns:
        Bytes; infinity if there are no control groups or no limits.
    """
    free = float("inf")
    try:
        for kind, mount, group in _memory_groups(root):
            for level in (group, *group.parents):
                free = min(free, _free_in_group(kind, level))
                if level == mount:
                    break
    except (OSError, ValueError):  # another system, or files in an unknown format
        pass
    return free


def host_bytes(root: Path = Path("/")) -> float:
    """Return the main memory that this process can still use, in bytes; ``root`` is as in :func:`cgroup_bytes`."""
    return min(float(psutil.virtual_memory().available), cgroup_bytes(root))


def default_device() -> Any:
    """Return the device that ``jax.default_device`` names in this thread, or None."""
    import jax

    return getattr(jax.config, "jax_default_device")  # noqa: B009  # not in its type stubs


def device_bytes() -> float:
    """Return the memory that is free on the default device of this thread, in bytes.

    That is JAX's first local device unless ``jax.default_device`` names another one.

    For a CPU, and for a device that does not report its memory, this is :func:`host_bytes`.
    """
    import jax

    device = default_device() or jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return float(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return host_bytes()
