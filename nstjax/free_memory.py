"""Memory that is available to this process: of the machine, its control groups, and the device."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import psutil

# Per version of cgroups: files of limits, file of the use, and in memory.stat what the kernel can reclaim at once.
_FILES = {
    "cgroup2": (("memory.max", "memory.high"), "memory.current", "inactive_file"),
    "cgroup": (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
}


def _memory_groups(root: Path) -> Iterator[tuple[str, Path, Path]]:
    """Yield for each hierarchy with a memory controller its version, its mount point and this process's group."""
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
        # In a container the mount point may be the group that the host calls `top`.
        inside = own[kind] if top == "/" else own[kind].removeprefix(top)
        group = mount / inside.lstrip("/")
        yield kind, mount, group if ".." not in group.parts and group.is_dir() else mount


def _free_in_group(kind: str, group: Path) -> float:
    """Bytes that one group's own limit leaves; infinity where it has none."""
    limits, use, reclaimable = _FILES[kind]
    found = []
    for name in limits:
        try:
            found.append(float((group / name).read_text()))  # "max" is no limit
        except (OSError, ValueError):
            continue
    if not found or min(found) >= 2**62:  # how version 1 writes no limit
        return float("inf")
    used = 0.0
    with contextlib.suppress(OSError, ValueError):
        used = float((group / use).read_text())
        lines = (group / "memory.stat").read_text().splitlines()
        stat = dict(line.split(" ", 1) for line in lines)
        used -= min(used, float(stat.get(reclaimable, 0)))
    return max(0.0, min(found) - used)


def cgroup_bytes(root: Path = Path("/")) -> float:
    """Return the bytes that the control groups of this process leave it (Linux, versions 1 and 2).

    Every group from the process's own up to the root has a limit, and the one that leaves least counts. Cached files
    that the kernel reclaims first do not count as used.

    Args:
        root: folder that holds ``proc`` and the mount points.

    Returns:
        Bytes; infinity without control groups or limits.
    """
    free = float("inf")
    try:
        for kind, mount, group in _memory_groups(root):
            for level in (group, *group.parents):
                free = min(free, _free_in_group(kind, level))
                if level == mount:
                    break
    except (OSError, ValueError):  # another system, or files of an unknown form
        pass
    return free


def host_bytes(root: Path = Path("/")) -> float:
    """Return the bytes of main memory that this process can still use; ``root`` as for :func:`cgroup_bytes`."""
    return min(float(psutil.virtual_memory().available), cgroup_bytes(root))


def device_bytes() -> float:
    """Return the bytes that JAX's first device can still use; main memory for a CPU."""
    import jax

    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return float(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return host_bytes()
