"""What a process that serves for days does about its memory.

All of it is about speed and thrift, and does nothing where the system offers no such thing.
"""

import ctypes
import gc
import os
from typing import Any, Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_ARENAS: Final = 2
_LARGE: Final = 1 << 18
_POLARS: Final = "_RJEM_MALLOC_CONF"
_POLARS_THRIFT: Final = "narenas:1,dirty_decay_ms:100,muzzy_decay_ms:0"
_ARROW: Final = ("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
_YOUNG, _MIDDLE, _OLD = 10_000, 20, 50


def spare() -> None:
    """Before threads begin and libraries are loaded: keep little of what is free.

    Threads share two heaps, instead of keeping one each (30 MiB); large pieces go back to the
    system at once, where the C library would get used to them and keep up to 64 MiB. Polars and
    Arrow bring allocators of their own and are told the same (100 MiB after the first large file).
    """
    # Polars writes its own wishes there too, also for the processes we start; the last word counts.
    said = os.environ.get(_POLARS)
    os.environ[_POLARS] = _POLARS_THRIFT if said is None else f"{said},{_POLARS_THRIFT}"
    os.environ.setdefault(*_ARROW)
    if (mallopt := _of_libc("mallopt")) is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, _LARGE)


def settle() -> None:
    """Once all is loaded: what stays for good is not looked through for garbage again.

    A tenth of a busy request went there. What starting needed and nothing holds is handed back.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    if (trim := _of_libc("malloc_trim")) is not None:
        trim(0)


def _of_libc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None)
