"""Instruments, venues and market figures calibrated from the real data: the files of `store/seed`."""
