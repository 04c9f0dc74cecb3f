# Every target sets up what it needs: a virtual environment in .venv, made once and again when pyproject.toml changes.
# What goes into it is in requirements.lock, each file with its hash. The lock is for Python 3.11 on Linux, x86_64; others
# get the newest versions that pyproject.toml allows. `make lock` fits it to pyproject.toml and changes no more than that;
# `make lock UPGRADE=--upgrade` takes the newest of everything, `UPGRADE='--upgrade-package NAME'` of one package.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOCK := requirements.lock
UPGRADE ?=

SCENE := videos/demo
RUN := runs/demo
DETECTOR ?= auto

.PHONY: help demo test check lock ui clean

help:
	@echo "make demo   set up, make a two-camera scene, find and follow its people, score the result"
	@echo "make test   set up, run the tests"
	@echo "make check  set up, run ruff, mypy and the import rules"
	@echo "make lock   write the exact versions that are installed, with hashes, to $(LOCK)"
	@echo "make ui     set up, open the browser interface on http://127.0.0.1:7860"
	@echo "make clean  remove the virtual environment and everything generated"

$(READY): pyproject.toml $(LOCK)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	@if $(BIN)/python -c 'import platform, sys; sys.exit((sys.version_info[:2], sys.platform, platform.machine()) != ((3, 11), "linux", "x86_64"))'; then \
	  $(BIN)/python -m pip install --quiet --require-hashes --requirement $(LOCK) && \
	  $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable . ; \
	else \
	  echo "$(LOCK) is for Python 3.11 on Linux x86_64, which this is not: installing what pyproject.toml allows"; \
	  $(BIN)/python -m pip install --quiet --upgrade-strategy only-if-needed --editable '.[dev]'; \
	fi
	touch $@

# Everything that the demo uses comes with the program; nothing is downloaded. DETECTOR=yolo26n.pt takes another
# detector, DETECTOR=file:det/det.txt the made-up detections that come with the rendered scene.
demo: $(READY)
	test -e $(SCENE)/scene.json || $(BIN)/python main.py simulate --output $(SCENE) --cameras 2 --people 6 --seconds 30
	rm -rf $(RUN)
	$(BIN)/python main.py --sources $(SCENE)/cam1.mp4 $(SCENE)/cam2.mp4 --detector $(DETECTOR) --output $(RUN) --save-video
	$(BIN)/python main.py evaluate $(RUN) --truth $(SCENE)
	@echo "Scores above: identities across cameras, and the control without linking."
	@echo "Look at $(RUN)/video/people.jpg, everybody on every camera, and at $(RUN)/video/wall.mp4."
	@echo "Browse and correct the run: make ui, then open http://127.0.0.1:7860"

ui: $(READY)
	$(BIN)/python main.py ui

test: $(READY)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --durations=25

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_imports.py

lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --extra dev --generate-hashes --no-annotate --no-header --quiet \
	  --python-version 3.11 --python-platform x86_64-unknown-linux-gnu --output-file $(LOCK) $(UPGRADE)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
