"""Everything that this room raises on purpose.

StoreError
├── MigrationError
│   ├── MigrationFilesInvalid    the numbered files themselves are unsound
│   ├── MigrationChanged         an applied file differs from what was applied
│   └── DatabaseNewer            the database knows migrations that this code cannot live with
├── EmbeddedServerError
│   └── EmbeddedServerBusy       another process owns the server of this data folder
├── StoreUnavailable             PostgreSQL (or what stands before it) cannot be asked now; try again
│   ├── KeeperUnavailable        the keeper process cannot be reached
│   ├── StoreTooSlow             it did not answer in time; it may answer a smaller question
│   └── DrainOutOfSequence       the entries do not follow what PostgreSQL has of the journal; ask where it is
├── JournalError
│   ├── JournalFull              no room on disk or under its bound; nothing was taken
│   ├── JournalFailed            the disk refused; what was not acknowledged may or may not be there after reopening
│   ├── JournalCorrupt           acknowledged bytes are damaged or gone; names segment, offset and sequence
│   └── EntriesGone              drained long ago, and no longer kept here
├── RecordInvalid                refused at the door; nothing was taken
├── RecordSetAside               PostgreSQL will never accept this row; it was set aside
├── DecisionRetired              the order was decided, and its week taken away; the text says where it is
├── RetentionRefused             weeks cannot be taken away as they are, with every reason
├── HeadsInvalid                 a file of heads, with every fault
├── SeedInvalid                  a seed file, with every fault
├── CalendarUnknown
├── SessionsMissing              the sessions of a calendar are not on disk, or cannot be read
├── ReferenceCorrupt             kept reference data are not what their name says
└── ArtifactInvalid              an artifact folder, with every fault
"""

from __future__ import annotations


class StoreError(Exception):
    """Every error of this room."""


class MigrationError(StoreError):
    """The schema cannot be brought to where the code needs it."""


class MigrationFilesInvalid(MigrationError):
    """Bad name, a number twice, or a gap."""


class MigrationChanged(MigrationError):
    """An applied migration's file is not what was applied."""


class DatabaseNewer(MigrationError):
    """The database was migrated by newer code."""


class EmbeddedServerError(StoreError):
    """The embedded PostgreSQL server does not start or stop."""


class EmbeddedServerBusy(EmbeddedServerError):
    """Another living process owns the server of this data folder."""


class StoreUnavailable(StoreError):
    """Cannot be answered now; the same call may succeed later."""


class KeeperUnavailable(StoreUnavailable):
    """The keeper process cannot be reached; a call in flight may or may not have been taken."""


class StoreTooSlow(StoreUnavailable):
    """PostgreSQL did not answer within the time that it was given."""


class DrainOutOfSequence(StoreUnavailable):
    """The entries do not follow what PostgreSQL has of the journal; its position must be asked anew."""


class JournalError(StoreError):
    """The journal cannot do what it was asked."""


class JournalFull(JournalError):
    """There is no room for the record; nothing was taken."""


class JournalFailed(JournalError):
    """The disk did not take what it was given; the journal must be opened anew."""


class JournalCorrupt(JournalError):
    """Acknowledged bytes are damaged or gone."""


class EntriesGone(JournalError):
    """Entries that PostgreSQL has and the journal keeps no longer. The first that it keeps is `first_kept`."""

    def __init__(self, asked: int, first_kept: int) -> None:
        super().__init__(f"entry {asked} is not kept any more; the first that is kept is {first_kept}")
        self.first_kept = first_kept


class RecordInvalid(StoreError):
    """The record cannot be kept as it is (NaN, text with NUL, no such id form); it was not taken."""


class RecordSetAside(StoreError):
    """PostgreSQL refuses this row whatever is tried; it was set aside so that the others go on."""


class DecisionRetired(StoreError):
    """The order was decided before, and the decision's record is not in the database any more; asking again is of no
    use."""


class _Faults(StoreError):
    """Carries every fault found, not only the first."""

    def __init__(self, subject: str, faults: tuple[str, ...]) -> None:
        super().__init__(f"{subject}: " + "; ".join(faults))
        self.faults = faults


class SeedInvalid(_Faults):
    """A seed file is unsound."""


class HeadsInvalid(_Faults):
    """A file of heads is unsound."""


class RetentionRefused(_Faults):
    """Weeks cannot be taken away as they are."""


class CalendarUnknown(StoreError):
    """exchange_calendars has no such calendar."""


class SessionsMissing(StoreError):
    """The written sessions of a calendar are missing or unreadable."""


class ReferenceCorrupt(StoreError):
    """Kept reference data do not have the hash they are kept under."""


class ArtifactInvalid(_Faults):
    """An artifact folder does not hold what its manifest says."""
