"""
Writes pictures, videos and sounds as one HTML page beside their files. Needs the extra "gallery".

    write_gallery(read_folder("pictures"), "pictures/gallery.html", title="Lighthouses")
    write_gallery(read_journal("run.kling"), "run.html", title="A batch")
"""

try:
    from kling_async.gallery.entry import GalleryEntry, entry_of
    from kling_async.gallery.folder_entries import read_folder
    from kling_async.gallery.journal_entries import read_journal
    from kling_async.gallery.page import write_gallery
except ModuleNotFoundError as _error:
    _missing = (_error.name or "").partition(".")[0]
    if _missing not in {"jinja2", "PIL"}:
        raise
    raise ImportError(f'the gallery needs {_missing}: pip install "kling-async[gallery]"', name=_missing) from None

__all__ = ["GalleryEntry", "entry_of", "read_folder", "read_journal", "write_gallery"]
