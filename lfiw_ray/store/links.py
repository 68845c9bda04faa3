"""Symbolic links that lead out of a run folder are refused when the run is opened.

Through such a link a folder that was made by somebody else would have this program write over, or remove, files that
lie elsewhere.  The run folder itself may be a link: its owner names it.
"""

import os
from pathlib import Path

from lfiw_ray.errors import StoreError
from lfiw_ray.store.folder import Folder


def refuse_links(folder: Folder) -> None:
    """Look at every entry of a run folder on a disk; object stores have no links.

    Raises
    ------
    StoreError
        Naming the first link whose end lies outside.
    """
    if not folder.is_local:
        return
    root = Path(folder.absolute_url())
    for where, folders, files in os.walk(root):  # which does not enter links
        for name in (*folders, *files):
            path = Path(where, name)
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise StoreError(
                    f"{path} is a link out of the run folder, which is refused; replace it by what it leads to"
                )
