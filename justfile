# The list of commands. `uv run just` prints it.

default:
    @just --list

# the proxy and the admin server
run *ARGS:
    uv run tokenman up {{ARGS}}

# a tour on a built-in fake provider; no key needed
demo *ARGS:
    uv run tokenman demo {{ARGS}}

# all tests; arguments go to pytest. Thousands drive real processes side by side, maybe beside other work: what fails is judged
# once more, and what passes then is named at the end as RERUN, to be mended
test *ARGS:
    sh tests/system_packages.sh
    uv run pytest -n 2 --reruns 1 -r fER {{ARGS}}

lint:
    uv run ruff check .
    uv run ruff format --check .

format:
    uv run ruff check --fix .
    uv run ruff format .

types:
    uv run mypy

# side-by-side measurements, see bench/README.md
bench *ARGS:
    uv run python -m bench {{ARGS}}

# how well redaction finds what it must, and leaves alone what it must not: recall, precision and false alarms, see tests/corpora
accuracy *ARGS:
    uv run python -m tests.corpora {{ARGS}}

build:
    uv build
