"""Names of optimizers: of the registry, such as `xfer_nao`, or `module:NAME` of one's own.

An optimizer learns from sources when its own name begins with `xfer_`; without these letters the
name is that of its twin.
"""

_PREFIX = "xfer_"


def uses_sources(name: str) -> bool:
    """Tells `nao` and `module:ridge` from `xfer_nao` and `module:xfer_ridge`."""
    return name.rpartition(":")[2].startswith(_PREFIX)


def with_sources(name: str) -> str:
    """Returns the name of the twin that uses sources."""
    module, colon, own = name.rpartition(":")
    return f"{module}{colon}{_PREFIX}{own}"


def without_sources(name: str) -> str:
    """Returns the name of the twin that uses none; inverts `with_sources`."""
    module, colon, own = name.rpartition(":")
    return f"{module}{colon}{own.removeprefix(_PREFIX)}"


def folder_of(name: str) -> str:
    """Returns the folder name of an optimizer: a colon is no part of a file name everywhere."""
    return name.replace(":", ".")


def name_of(folder: str) -> str:
    """Inverts `folder_of`: neither names of the registry nor a module's NAME have a dot."""
    module, dot, own = folder.rpartition(".")
    return f"{module}:{own}" if dot else own
