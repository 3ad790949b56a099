"""Whose the cache is: what another user can write may be a trap, and is not believed."""

from __future__ import annotations

import os
import stat
from errno import EPERM
from pathlib import Path

from ..config import cache_dir

_ROOT = 0  # may write everywhere in any case


def why_untrusted(path: Path) -> str:
    """Why a file or folder is not the user's alone to change; nothing where it is, or is not there.

    Links are followed where they are the user's own: a cache may lie on another disk. What the
    group may write is let through: with a umask of 002 each user's group is their own.

    Returns:
        The end of a sentence that begins with the path.
    """
    if not hasattr(os, "geteuid"):  # Windows: a user's folders are closed to others
        return ""
    try:
        found = [path.lstat(), path.stat()]
    except OSError:  # not there, or not to be read: whoever uses it finds out
        return ""
    owners = {status.st_uid for status in found} - {os.geteuid(), _ROOT}
    if owners:
        return f"belongs to another user (uid {min(owners)})"
    is_sticky = found[1].st_mode & stat.S_ISVTX  # as /tmp: others add files and replace none
    if found[1].st_mode & stat.S_IWOTH and not is_sticky:
        return "can be written by all users"
    return ""


def check_trusted(folder: Path) -> None:
    """Raise a PermissionError where the cache, or this folder in it, is not the user's alone."""
    for each in (cache_dir(), folder):
        if why := why_untrusted(each):
            raise PermissionError(EPERM, f"{each} {why}")


def cache_warning() -> str:
    """What to warn of before a model is taken from the cache; empty where it is the user's own."""
    why = why_untrusted(cache_dir())
    return why and (
        f"the cache {cache_dir()} {why}, who could change models and answers: "
        "set FASTKV_HOME to a folder of your own"
    )


def open_private(path: Path) -> int:
    """Open a file for reading and writing that is the user's alone; it is made where there is none.

    A link in its place is refused: its target's permissions would be changed.

    Returns:
        The descriptor.

    Raises:
        OSError: when it is a link or another user's, or cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    if path.is_symlink():
        raise PermissionError(EPERM, "it is a link")
    descriptor = os.open(path, flags, 0o600)
    try:
        if why := why_untrusted(path):
            raise PermissionError(EPERM, f"it {why}")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PermissionError(EPERM, "it is no file")
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, 0o600)  # also where another umask made it
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
