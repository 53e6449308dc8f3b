"""What a release's graphs know of its catalogue: tables with a row an item, in one external data file, items.bin.

A graph holds a table's shape and place; everything else in it is the same for any catalogue. So a release over other items
is this file written anew and those few numbers changed, without torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from recency_features.spec import RECOMMENDER
from recency_store.errors import ManifestError

ITEMS_BIN = "items.bin"
# The tables by the names of the graphs' initialisers, in the order of the file. The item matrix lies at its head.
TABLES = ("items", "log_count", "pairs", "neighbour_ids", "neighbour_weights")
_ALIGNMENT = 4096

Tables = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a table lies in items.bin, and what it is."""

    offset: int
    length: int
    shape: tuple[int, ...]
    datatype: int


def write_tables(tables: Tables, path: Path) -> dict[str, Place]:
    """Writes items.bin, little endian, each table at a page's beginning; answers the places."""
    places = {}
    with path.open("wb") as file:
        for name in TABLES:
            if name not in tables:
                continue
            table = tables[name]
            file.write(b"\0" * (-file.tell() % _ALIGNMENT))
            data = np.ascontiguousarray(table, dtype=table.dtype.newbyteorder("<")).tobytes()
            places[name] = Place(
                file.tell(), len(data), table.shape, int(onnx.helper.np_dtype_to_tensor_dtype(table.dtype))
            )
            file.write(data)
    return places


def place_tables(model: onnx.ModelProto, places: Mapping[str, Place]) -> None:
    """Makes the tables that the graph reads initialisers that point into items.bin, in place of those it had."""
    graph = model.graph
    read = {name for node in graph.node for name in node.input}
    others = [tensor for tensor in graph.initializer if tensor.name not in TABLES]
    del graph.initializer[:]
    graph.initializer.extend(others)
    for name, place in places.items():
        if name not in read:
            continue
        tensor = graph.initializer.add(
            name=name, dims=place.shape, data_type=place.datatype, data_location=onnx.TensorProto.EXTERNAL
        )
        for key, value in (("location", ITEMS_BIN), ("offset", str(place.offset)), ("length", str(place.length))):
            tensor.external_data.add(key=key, value=value)


def read_tables(folder: Path) -> dict[str, npt.NDArray[Any]]:
    """The tables of a release folder, mapped, not copied. ManifestError where its graphs are of an older software, which
    took the number of items for fixed."""
    found: dict[str, npt.NDArray[Any]] = {}
    model = onnx.load_model(str(folder / RECOMMENDER / "model.onnx"), load_external_data=False)
    for tensor in model.graph.initializer:
        if tensor.name in TABLES:
            offset = next(int(entry.value) for entry in tensor.external_data if entry.key == "offset")
            found[tensor.name] = np.memmap(
                folder / ITEMS_BIN,
                dtype=onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type),
                mode="r",
                offset=offset,
                shape=tuple(tensor.dims),
            )
    if not {"items", "log_count"} <= found.keys():
        raise ManifestError(f"{folder}: its graphs hold their items' tables themselves; publish a full release again")
    return found


def item_ids_of(folder: Path) -> list[str]:
    """The ids of a release's items, in the order of the rows."""
    item_ids: list[str] = json.loads((folder / "item_ids.json").read_text(encoding="utf-8"))
    return item_ids
