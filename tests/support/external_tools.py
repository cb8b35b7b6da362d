"""Programs of others that judge medgen's files: found or skipped, and never left running.

Where MEDGEN_REQUIRE_TOOLS=1, as `.ci/run` sets it, a program that is missing fails the test.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRED = "MEDGEN_REQUIRE_TOOLS"

INSTALL = {
    "dcm2niix": "pip install dcm2niix",
    "plastimatch": "pip install plastimatch",
    "dciodvfy": "apt-get install dicom3tools",
    "dcentvfy": "apt-get install dicom3tools",
    "Orthanc": "apt-get install orthanc",
    "storescu": "apt-get install dcmtk",
    "unshare": "apt-get install util-linux",
    "ip": "apt-get install iproute2",
}

_SYSTEM = ("/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin", "/usr/local/sbin")
_FROM_WHEELS = frozenset({"dcm2niix", "plastimatch"})


def require_tool(name: str) -> str:
    """Return the path of a program; skip the test, or fail it, where it is not installed."""
    found = find_tool(name)
    if found is None:
        missing(f"{name} is not installed: {INSTALL[name]}")
    return found


def find_tool(name: str) -> str | None:
    """Return the path of a program, or None.

    The wheels' programs lie beside the interpreter. The others are searched for in the system's
    folders first, since pynetdicom installs a `storescu` of its own beside the interpreter.
    """
    beside = str(Path(sys.executable).parent)
    system = os.pathsep.join(_SYSTEM)
    places = [beside, system] if name in _FROM_WHEELS else [system]
    for place in (*places, os.environ.get("PATH", "")):
        found = shutil.which(name, path=place)
        if found is not None:
            return found
    return None


def missing(reason: str) -> NoReturn:
    """Skip the test for want of a program; fail it where programs are required."""
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason} ({REQUIRED}=1)", pytrace=False)
    pytest.skip(reason)


def run_tool(
    arguments: Sequence[str | Path],
    *,
    timeout: float = 60.0,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return its exit code with all that it printed.

    It is killed, and TimeoutExpired raised, after `timeout` seconds. Whether the exit code is a
    good one is for the test to say: dciodvfy and dcm2niix answer 0 for some bad files.
    """
    return subprocess.run(
        [str(argument) for argument in arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
        env=None if environment is None else {**os.environ, **environment},
    )
