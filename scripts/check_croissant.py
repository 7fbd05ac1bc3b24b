"""Asks Croissant's own library about a document of ours: `check_croissant.py write DIR`, then `read DIR`.

The second half runs where mlcroissant is installed, which need not be where this package is.
Invariant: it fails unless the library reads the document without an error or a warning, and the records that it
reads from the comma-separated file are the rows of the table.
Source: mlcroissant, https://pypi.org/project/mlcroissant/; tried with 1.1.1.
What it does not do: it is no test, because that library brings hundreds of megabytes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def made(folder: Path) -> list[list[float]]:
    """Write a document and its file into `folder`; return the rows."""
    from interlace.assets.content import content_root
    from interlace.assets.croissant import comma_separated, dataset_document
    from interlace.assets.descriptor import Descriptor
    from interlace.assets.licence import licence_named
    from interlace.assets.table import encode, table

    cells = [[5.1, 3.5, 0.0], [6.2, 2.9, 1.0], [5.9, 3.0, 1.0]]
    rows = table(cells, ["length", "width", "label"], "label")
    content, owner = encode(rows), "0x" + "11" * 20
    descriptor = Descriptor("flowers", "CC-BY-4.0", owner, content_root(content), len(content), "table", 3, 3)
    document = dataset_document(
        descriptor, content, chain_id=31337, class_id=2, owner=owner, licence=licence_named("CC-BY-4.0"),
        published="2026-11-30", parents=[{"class_id": 1, "weight": 10_000, "relation": "made from"}],
    )  # fmt: skip
    # A reader without IPFS has the files beside the document.
    for file in document["distribution"]:
        file["contentUrl"] = file["@id"]
    (folder / "document.json").write_text(json.dumps(document))
    (folder / "content.csv").write_bytes(comma_separated(rows))
    (folder / "content.ilds").write_bytes(content)
    return cells


def read(folder: Path) -> int:
    """Read by Croissant's library and compare; 2 without the library."""
    try:
        import mlcroissant
    except ImportError:
        print("error: mlcroissant is not installed\nhint: pip install mlcroissant==1.1.1", file=sys.stderr)
        return 2
    dataset = mlcroissant.Dataset(jsonld=str(folder / "document.json"))
    issues = dataset.metadata.ctx.issues
    cells = json.loads((folder / "cells.json").read_text())
    found = [[float(record[f"rows/{i}"]) for i in range(3)] for record in dataset.records("rows")]
    print(issues.report() or "no error and no warning")
    print(f"{len(found)} records, {'equal' if found == cells else 'other than the table'}")
    return 1 if issues.errors or issues.warnings or found != cells else 0


def main() -> int:
    """Write or read, as the first word says."""
    if len(sys.argv) != 3 or sys.argv[1] not in ("write", "read"):
        print("usage: check_croissant.py write|read FOLDER", file=sys.stderr)
        return 2
    folder = Path(sys.argv[2])
    if sys.argv[1] == "read":
        return read(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cells.json").write_text(json.dumps(made(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
