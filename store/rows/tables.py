"""The table of every kind of record, and which field of the payload stands in which column.

Columns are only ones that give back exactly what they took: `json` (not jsonb) keeps its text, `float8` and `bigint`
are exact, a UUID's text is canonical. So a payload can be made again from its row, byte for byte
(store/rows/reading.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.records import RecordKind
from store.payload import LAYOUTS, FieldType

OUTBOX: Final = "outbox"
_NAMES: Final = {
    RecordKind.SELECTION: "strategy_selections",
    RecordKind.UPDATE: "order_updates",
    RecordKind.ADAPTATION: "adaptations",
    RecordKind.OUTCOME: "outcomes",
    RecordKind.OPERATION: "operations",
    RecordKind.REFERENCE: "reference_data",
}
# Where a column is not called as the field.
_COLUMN_NAMES: Final = {
    (RecordKind.SELECTION, "selection_id"): "id",
    (RecordKind.SELECTION, "quantity_shares"): "quantity",
    (RecordKind.UPDATE, "update_id"): "id",
    (RecordKind.UPDATE, "sequence"): "update_sequence",
    (RecordKind.ADAPTATION, "adaptation_id"): "id",
    (RecordKind.OUTCOME, "outcome_id"): "id",
    (RecordKind.OPERATION, "operation_id"): "id",
    (RecordKind.REFERENCE, "reference_id"): "id",
}


@dataclass(frozen=True, slots=True)
class FieldColumn:
    """One column. `index` is the field's place in the payload's array, where the version stands at 0."""

    name: str
    type: FieldType
    index: int


@dataclass(frozen=True, slots=True)
class ChainedTable:
    """Where the records of one kind stand. `columns` are the hashed ones; the event stands in the outbox."""

    kind: RecordKind
    name: str
    columns: tuple[FieldColumn, ...]
    created_at_index: int
    event_index: int | None

    def index_of(self, column: str) -> int:
        """The place in the payload of what a column holds."""
        return next(held.index for held in self.columns if held.name == column)


def _table(kind: RecordKind, name: str) -> ChainedTable:
    indices = {field: index for index, (field, _) in enumerate(LAYOUTS[kind], start=1)}
    columns = tuple(
        FieldColumn(_COLUMN_NAMES.get((kind, field), field), type_, indices[field])
        for field, type_ in LAYOUTS[kind]
        if type_ is not FieldType.EVENT
    )
    return ChainedTable(kind, name, columns, indices["created_at_ns"], indices.get("event"))


TABLES: Final = {kind: _table(kind, name) for kind, name in _NAMES.items()}
# What is partitioned by week, in the order of migration 0002.
PARTITIONED: Final = (*(table.name for table in TABLES.values()), OUTBOX)
