# Two commands on a fresh machine: `make demo` and `make test`. Both set up .venv by themselves; so does `make docs`.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-versions mutants nightly style sync outputs notebooks pytest gpu course readme teach docs clean

demo: $(READY)
	$(BIN)/python examples/demo.py

test: sync outputs pytest

# is everything that is generated what the notebooks would generate now?
sync: $(READY)
	$(BIN)/python scripts/check_sync.py

# every notebook, run from top to bottom, gives no error and the outputs that it stores
outputs: $(READY)
	$(BIN)/python scripts/check_outputs.py

# the same notebooks by nbdev's own runner, which compares nothing
notebooks: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/nbdev-test --n-workers 2 --timing

# two suites at a time, on one thread each; the slowest first (tests/conftest.py)
pytest: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# the suites on the oldest supported and the newest versions; some 6 GB for each environment
test-versions: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[versions]'
	mkdir -p build
	$(BIN)/python scripts/oldest_versions.py build/oldest.txt
	$(BIN)/tox run

# does the code read as fastai's does? pyproject.toml says what is not asked; in tests a case is a line, however long
style: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[style]'
	$(BIN)/chkstyle nbs
	$(BIN)/chkstyle --ignore line-too-long --ignore closing-bracket tests scripts benchmarks experiments examples

# which of 200 faults, put into the code one at a time, do the tests notice? An hour or two
mutants: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[mutation]'
	OMP_NUM_THREADS=1 $(BIN)/python scripts/mutants.py

# the properties of tests/test_properties.py on ten times as many examples, other ones each time
nightly: $(READY)
	HYPOTHESIS_PROFILE=nightly OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_properties.py

# the package on this machine's GPU, beside its CPU; `make gpu PYTHON=python3` uses what is installed there and installs nothing
gpu: $(if $(filter command line,$(origin PYTHON)),,$(READY))
	$(if $(filter command line,$(origin PYTHON)),$(PYTHON),$(BIN)/python) benchmarks/gpu.py

# what every tutorial has in the same form: how to run it, the way to the next one, the list in the index
course: $(READY)
	$(BIN)/python scripts/course.py

readme: $(READY)
	$(BIN)/python scripts/make_readme.py

# what lecturers need, from the tutorials: syllabus, student copies, questionnaires
teach: $(READY)
	$(BIN)/python scripts/make_teach.py

# the notebooks as a site in _docs/; a broken link fails
docs: .venv/.docs
	$(BIN)/python scripts/make_docs.py

.venv/.docs: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	touch $@

# the virtual environment, made anew when the requirements change
$(READY): settings.ini setup.py pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit('fastai_softlabels needs Python 3.11 or later; say which: make PYTHON=python3.12' if sys.version_info < (3, 11) else 0)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv .tox demo_output build _proc _docs *.egg-info
