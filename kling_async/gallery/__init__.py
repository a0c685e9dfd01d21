"""
Pictures as a page: one HTML file that opens anywhere, beside the pictures it shows. Needs the extra "gallery".

    write_gallery(read_folder("pictures"), "pictures/gallery.html", title="Lighthouses")
"""

import importlib.util

for _name in ("jinja2", "PIL"):
    if importlib.util.find_spec(_name) is None:
        raise ImportError(f'the gallery needs {_name}: pip install "kling-async[gallery]"', name=_name)

from kling_async.gallery.entry import GalleryEntry, entry_of
from kling_async.gallery.folder import read_folder
from kling_async.gallery.page import write_gallery

__all__ = ["GalleryEntry", "entry_of", "read_folder", "write_gallery"]
