"""What a result depends on besides the code: the machine, and the versions of everything that took part."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

CHECKOUT = Path(__file__).parent.parent


def describe() -> dict[str, Any]:
    """Return processor, cores, memory, system, Python, load, commit and versions."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": _memory_gb(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "commit": _commit(),
        "versions": _versions(),
    }


def missing_peers() -> list[str]:
    """Return the packages of the bench extra that are not installed."""
    return [name for name in _packages("bench") if _version(name) is None]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _commit() -> str | None:
    command = ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _versions() -> dict[str, str]:
    names = sorted({*_packages(""), *_packages("ops"), *_packages("embedded"), *_packages("bench")}, key=str.lower)
    return {name: found for name in names if (found := _version(name))}


def _packages(extra: str) -> list[str]:
    """Return the packages that an extra names; those of the core for the empty one."""
    found = [Requirement(text) for text in requires("legal-store") or ()]
    return [
        requirement.name
        for requirement in found
        if (requirement.marker is None and not extra)
        or (requirement.marker is not None and extra and _is_of(requirement, extra))
    ]


def _is_of(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
