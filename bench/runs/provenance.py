"""What made a result: commit, versions, machine, command line."""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from bench.contract import Provenance, RunSpec, UsageError
from bench.environment import memory_bytes, processors
from bench.naming import did_you_mean, readable
from bench.runs.sources import INSTALLED, RECORDED, code_files, distributions_of, plugins_of

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str) -> torch.device:
    """Return the device that a word stands for; ``auto`` is a GPU where there is one.

    Raises UsageError for an unknown word or a device that is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if there[kind]))
    kind, colon, number = name.partition(":")
    if kind not in there:
        raise UsageError(f"unknown device {name!r}{did_you_mean(name, DEVICES)} (known: {', '.join(DEVICES)})")
    if colon and not number.isdecimal():
        raise UsageError(f"unknown device {name!r}: after the colon stands a number, as in cuda:0")
    if not there[kind]:
        available = ", ".join(one for one, is_there in there.items() if is_there)
        raise UsageError(f"device {name} is not available on this machine (available: {available})")
    if kind == "cuda" and number and int(number) >= (count := torch.cuda.device_count()):
        raise UsageError(f"device {name} is not available on this machine: it has {count} of the kind")
    return torch.device(name)


def provenance(device: torch.device, threads: int, spec: RunSpec | None = None) -> Provenance:
    """Return everything outside the specification that a result depends on. spec: the run's, where it is of one."""
    commit, dirty = git_commit(Path(__file__).resolve().parents[2])
    uncommitted = uncommitted_plugins(spec) if spec else ()
    return Provenance(
        simbench=version("simbench-retrieval"),
        commit=commit,
        dirty=True if uncommitted else dirty,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command=readable(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]])),
        python=platform.python_version(),
        packages={name: _version(name) for name in RECORDED.values()},
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=cpu_name(),
        cores=processors(),
        ram_gib=round(memory_bytes() / 2**30, 1),
        gpu=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        device=device.type,
        threads=threads,
        distributions=distributions_of(spec) if spec else {},
        uncommitted=uncommitted,
    )


def git_commit(folder: Path) -> tuple[str | None, bool | None]:
    """Return (commit hash, whether tracked files differ from it) of the checkout in ``folder``; None where unknown."""
    if not (folder / ".git").exists():
        return None, None
    commit = _git(folder, "rev-parse", "HEAD")
    # results/ holds what was published, no code: it does not make the code dirty.
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!results")
    return commit or None, None if changed is None else bool(changed)


def uncommitted_plugins(spec: RunSpec) -> tuple[str, ...]:
    """Return the files of a run's plugins that lie in a git checkout, but not as its last commit has them.

    As ``FOLDER/FILE``. Files that git does not track or ignores are among them, those of installed packages are not.
    """
    files = {path.resolve() for kind, plugin in plugins_of(spec) for path in code_files(kind, plugin)}
    folders: dict[Path, list[str]] = {}
    for path in sorted(files):
        if not INSTALLED & set(path.parts):
            folders.setdefault(path.parent, []).append(path.name)
    found = []
    for folder, names in folders.items():
        told = _git(folder, "status", "--porcelain", "-z", "--untracked-files=all", "--ignored", "--", *names)
        if told:
            entries = [entry.lstrip()[2:].lstrip() for entry in told.split("\0") if entry]  # behind the two letters
            changed = {Path(entry).name for entry in entries}
            whole = any(entry.endswith("/") for entry in entries)  # a folder that is ignored
            found += [f"{folder.name}/{name}" for name in names if whole or name in changed]
    return tuple(found)


def cpu_name() -> str:
    """Return the processor's model name as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            ["git", "-C", str(folder), *words],  # noqa: S607 - git is found as the user's shell would
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
