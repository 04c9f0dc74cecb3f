"""The files of a run: `layout` lists them, `run` reads them, `writer` writes them."""
