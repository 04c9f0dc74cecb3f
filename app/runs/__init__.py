"""A run, and all that is done with one after it was made.

Each package imports only what stands to its left: ledger, folder, render, evaluate, export, people, places, privacy;
`check` reads them all.
"""
