"""Reading a notebook that came back, whatever an editor or a mail program did to its bytes."""

import json
import warnings
from contextlib import suppress

import nbformat
from nbformat import NotebookNode

from .submissions import Look, Remark, UnreadableError


def decode(content: bytes) -> tuple[str, str]:
    """Text, and its encoding: UTF-8, 16 or 32 with a mark or without, or else what Windows calls ANSI.

    Raises:
        UnreadableError: it is none of these.
    """
    for encoding in json.detect_encoding(content), "cp1252":
        with suppress(UnicodeDecodeError):
            return content.decode(encoding), encoding
    raise UnreadableError("text in an unknown encoding (not UTF-8, UTF-16, UTF-32 or cp1252)")


def read_notebook(content: bytes) -> tuple[NotebookNode, list[Remark]]:
    """A notebook in format 4, every cell with source and metadata, and what to say about the file.

    Raises:
        UnreadableError: it is no notebook.
    """
    if not content.strip():
        raise UnreadableError("an empty file")
    text, encoding = decode(content)
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        merge = " (conflict marks of git?)" if "<<<<<<<" in text else ""
        raise UnreadableError(f"not a notebook: no JSON from line {error.lineno} on{merge}") from None
    except (ValueError, RecursionError):
        raise UnreadableError("not a notebook: no JSON that Python can read") from None
    if not isinstance(data, dict) or not {"cells", "worksheets"} & data.keys():
        raise UnreadableError("not a notebook: JSON, but without cells")
    try:
        with warnings.catch_warnings(action="ignore"):
            data = {"metadata": {}, "nbformat": 4, "nbformat_minor": 5} | data  # some programs leave out what is empty
            for cell in data.get("cells", []):
                for name, empty in {"cell_type": "code", "metadata": {}, "source": "", "outputs": []}.items():
                    cell.setdefault(name, empty)
            notebook = nbformat.convert(nbformat.reader.reads(json.dumps(data)), 4)
    except Exception:  # whatever JSON that is no notebook may do to nbformat
        raise UnreadableError(f"a notebook of a format unknown here, {data.get('nbformat')}") from None
    odd = [Remark(f"the file is not UTF-8 and was read as {encoding}", Look.IF_POINTS_ARE_MISSING)]
    return notebook, odd if encoding == "cp1252" else []
