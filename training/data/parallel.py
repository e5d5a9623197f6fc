"""Computation of many items on all cores."""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any


def in_chunks(
    function: Callable[[list[Any]], Any], items: Iterable[Any], count: int, size: int, title: str, threads: bool = False
) -> Iterator[Any]:
    """Yield the results of a function for chunks of items, in order, computed on all cores with a progress bar.

    Parameters
    ----------
    function : takes the items of a chunk.
    items, count : the items, each taken when it is needed, and their number.
    size : items per chunk.
    title : of the progress bar.
    threads : whether to use threads, which suffice if `function` releases the GIL, instead of processes.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    remaining = iter(items)
    chunks = iter(lambda: list(islice(remaining, size)), [])
    parallel = Parallel(n_jobs=os.cpu_count() or 1, prefer="threads" if threads else None, return_as="generator")
    results = parallel(delayed(function)(chunk) for chunk in chunks)
    yield from tqdm(results, total=-(-count // size), desc=title, unit=f"{size} clips", disable=None)
