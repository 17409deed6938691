"""Whether venues are named by market identifier codes of ISO 10383, as of the list that is installed.

ISO changes its list every month, so a code that is missing is not wrong for that: the seed must be in the list, an
operator's own venues are only warned about.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache


@cache
def _listed() -> dict[str, bool]:
    """MIC -> whether it is in use. The list is loaded only where it is asked."""
    import iso10383

    return {
        str(entry.value.mic): entry.value.status is not iso10383.Status.expired for entry in iso10383.MIC
    }


def mic_faults(mics: Iterable[str]) -> list[str]:
    """What ISO's list has against these codes, in their order."""
    listed = _listed()
    faults = []
    for mic in mics:
        if mic not in listed:
            faults.append(f"{mic} is not in the list of ISO 10383")
        elif not listed[mic]:
            faults.append(f"{mic} has expired in the list of ISO 10383")
    return faults
