"""Ownership checks of the cache: files that other users can change are not trusted."""

from __future__ import annotations

import os
import stat
from errno import EPERM
from pathlib import Path

from ..config import cache_dir

_ROOT = 0  # can write everywhere anyway


def why_untrusted(path: Path) -> str:
    """The reason why others can change a file or folder; empty if they cannot, or it is missing.

    Links are followed if they are the user's own: a cache may lie on another disk. Files that the
    group can write are accepted: with a umask of 002 each user has a group of their own.

    Returns:
        The end of a sentence that begins with the path.
    """
    if not hasattr(os, "geteuid"):  # Windows: other users cannot write to a user's folders
        return ""
    try:
        found = [path.lstat(), path.stat()]
    except OSError:  # missing or unreadable: its user will get the error
        return ""
    owners = {status.st_uid for status in found} - {os.geteuid(), _ROOT}
    if owners:
        return f"belongs to another user (uid {min(owners)})"
    is_sticky = found[1].st_mode & stat.S_ISVTX  # as /tmp: others can add files but replace none
    if found[1].st_mode & stat.S_IWOTH and not is_sticky:
        return "can be written by all users"
    return ""


def check_trusted(folder: Path) -> None:
    """Raise a PermissionError if others can change the cache, or this folder in it."""
    for each in (cache_dir(), folder):
        if why := why_untrusted(each):
            raise PermissionError(EPERM, f"{each} {why}")


def cache_warning() -> str:
    """The warning to print before loading a model from the cache; empty if the cache is trusted."""
    why = why_untrusted(cache_dir())
    return why and (
        f"the cache {cache_dir()} {why}, who could change models and answers: "
        "set FASTKV_HOME to a folder of your own"
    )


def open_private(path: Path) -> int:
    """Open a file that only the user can read and write; create it if it is missing.

    A link is refused, as its target's permissions would be changed.

    Returns:
        The file descriptor.

    Raises:
        OSError: when it is a link or belongs to another user, or cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    if path.is_symlink():
        raise PermissionError(EPERM, "it is a link")
    descriptor = os.open(path, flags, 0o600)
    try:
        if why := why_untrusted(path):
            raise PermissionError(EPERM, f"it {why}")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PermissionError(EPERM, "it is not a regular file")
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, 0o600)  # for files created with other permissions
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
