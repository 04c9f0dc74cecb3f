"""The user interface in the browser: `main.py ui`. The only part of the program that imports gradio.

`server` starts it, `library` knows the runs it may show, `media` serves pictures and videos by id, `layout` is what all
pages look like; every page has a file of its own. Nothing is decided here: what a page changes are events of the
ledger, or work that the command line does as well.
"""
