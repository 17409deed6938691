"""Bounds of a journal."""

from __future__ import annotations

from dataclasses import dataclass

from store.journal.codec import BLOCK_BYTES, frame_bytes


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """`limit_bytes` bounds what is not drained yet. The first segment, and one that is needed before the next is laid
    out, has `urgent_segment_bytes` (more if a record needs it); each next one is up to twice as long, up to
    `segment_bytes`. `retain_segments` drained segments stay for looking back. After the disk refused space it is asked
    again every `space_retry_s`. What nobody waits for is synced within `lazy_sync_s`, with all
    that came meanwhile (docs/adr/0038). Acts of operators may take `reserve_bytes` more than the limit, and the last of
    what is laid out on a disk without room: a halt must be on record most of all when something is wrong."""

    limit_bytes: int = 1 << 30
    reserve_bytes: int = 64 << 10
    segment_bytes: int = 32 << 20
    urgent_segment_bytes: int = 1 << 20
    most_payload_bytes: int = 8 << 20
    group_bytes: int = 4 << 20
    retain_segments: int = 1
    space_retry_s: float = 0.25
    lazy_sync_s: float = 0.020
    recent_bytes: int = 4 << 20

    def __post_init__(self) -> None:
        if self.segment_bytes % BLOCK_BYTES or self.urgent_segment_bytes % BLOCK_BYTES:
            raise ValueError(f"segments are whole blocks of {BLOCK_BYTES} bytes")
        if min(self.segment_bytes, self.urgent_segment_bytes) < 2 * BLOCK_BYTES:
            raise ValueError("a segment holds at least its header and one block")
        if self.limit_bytes < frame_bytes(self.most_payload_bytes):
            raise ValueError("limit_bytes must hold at least one record of most_payload_bytes")
        if self.group_bytes < 1 or self.retain_segments < 0 or self.space_retry_s <= 0:
            raise ValueError("group_bytes, retain_segments and space_retry_s are bounds, not negative")
        if min(self.lazy_sync_s, self.recent_bytes, self.reserve_bytes) < 0:
            raise ValueError("lazy_sync_s, recent_bytes and reserve_bytes are not negative")
