"""How much memory is left for this process."""

import os
from pathlib import Path

UNKNOWN = 2**31  # bytes to assume where the system does not tell
CGROUPS = (  # limit and use of a container: version 2, version 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def available() -> int:
    """Return how many bytes of memory are free for this process, in its container or in the machine, whichever has fewer."""
    free = [number for number in (_of_machine(), *map(_of_container, CGROUPS)) if number is not None]
    return max(0, min(free)) if free else UNKNOWN


def _of_machine() -> int | None:
    """Return what the system calls available: free memory, and what it keeps of files but would give back."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return None


def _of_container(files: tuple[str, str]) -> int | None:
    """Return what the limit of a container leaves; files that it keeps in memory count as free."""
    try:
        limit, used = (int(Path(file).read_text()) for file in files)
        kept = Path(files[0]).with_name("memory.stat").read_text().split()
    except (OSError, ValueError):  # no container, or "max"
        return None
    cached = max((int(number) for name, number in zip(kept[::2], kept[1::2], strict=False) if name in _OF_FILES), default=0)
    return limit - used + cached


_OF_FILES = ("inactive_file", "total_inactive_file")
