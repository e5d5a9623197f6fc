"""Settings of a process: permissions of new files, and threads of numeric libraries."""

import os


def keep_private() -> None:
    """Make new files and folders accessible to the owner and the group only, since results are personal data."""
    os.umask(os.umask(0o027) | 0o027)


def one_thread_per_process() -> None:
    """Limit numeric libraries to one thread.

    Processes, not threads, share the cores, and sums must not depend on the number of threads.
    """
    for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
