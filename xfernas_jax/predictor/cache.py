"""Fits on sources, kept by a hash of everything that they depend on."""

import collections
import contextlib
import functools
import hashlib
import io
import pathlib
from collections.abc import Mapping
from typing import Any

import flax
import jax
import numpy as np
import optax

from xfernas_jax.files import write_atomically

_memory: collections.OrderedDict[str, dict[str, Any]] = collections.OrderedDict()
_MAX_ENTRIES = 32


def content_digest(*parts: bytes) -> str:
    """Returns a SHA-256 over the parts and their lengths, as hexadecimal text."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


@functools.cache
def code_digest() -> str:
    """Returns a digest of this package's code and the libraries below it, read once.

    All modules count, so that none that decides a fit can be forgotten: an old fit is never taken
    for one of changed code, at the price of some that are computed again without need.
    """
    files = sorted(pathlib.Path(__file__).parent.glob("*.py"))
    libraries = (jax.__version__, flax.__version__, optax.__version__, np.__version__)
    parts = [part for file in files for part in (file.name.encode(), file.read_bytes())]
    return content_digest(*(version.encode() for version in libraries), *parts)


def load(digest: str, folder: str | None, template: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the parameters stored under `digest`, or None.

    A file that is damaged or does not have `template`'s names and shapes counts as absent.
    """
    if digest in _memory:
        _memory.move_to_end(digest)
        return _memory[digest]
    if folder is None:
        return None
    try:
        with (
            _file(digest, folder).open("rb") as file,
            np.load(file, allow_pickle=False) as arrays,
        ):
            flat = {name: arrays[name] for name in arrays.files}
    except Exception:  # damaged files fail in many ways
        return None
    if not all(
        isinstance(value, np.ndarray) and value.dtype.kind == "f" for value in flat.values()
    ):
        return None
    expected = {name: value.shape for name, value in _flatten(template).items()}
    if {name: value.shape for name, value in flat.items()} != expected:
        return None
    if not all(np.isfinite(value).all() for value in flat.values()):
        return None
    params = _unflatten(flat)
    _remember(digest, params)
    return params


def save(digest: str, folder: str | None, params: Mapping[str, Any]) -> None:
    """Keeps `params` in memory and, with a folder, in one file that appears whole or not at all.

    A folder that cannot be written is no error: the fit is only computed again.
    """
    flat = {name: np.asarray(value) for name, value in _flatten(params).items()}
    _remember(digest, _unflatten(flat))
    if folder is None:
        return
    data = io.BytesIO()
    np.savez(data, allow_pickle=False, **flat)
    with contextlib.suppress(OSError):
        write_atomically(_file(digest, folder), data.getvalue())


def clear_memory() -> None:
    """Forgets the fits of this process; files stay."""
    _memory.clear()


def _remember(digest: str, params: dict[str, Any]) -> None:
    _memory[digest] = params
    _memory.move_to_end(digest)
    while len(_memory) > _MAX_ENTRIES:
        _memory.popitem(last=False)


def _file(digest: str, folder: str) -> pathlib.Path:
    return pathlib.Path(folder) / f"source_fit_{digest[:32]}.npz"


def _flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}/")
        else:
            flat[prefix + name] = value
    return flat


def _unflatten(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, name = path.split("/")
        node = params
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = value
    return params
