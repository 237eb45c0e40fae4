#!/usr/bin/env bash
# Set up .venv where it is absent or outdated, then run one of the commands that `run.sh help` lists.
set -euo pipefail

root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)"
venv="$root/.venv"
stamp="$venv/.klue-beam-stamp"

usage() {
  cat <<'TEXT'
Usage: run.sh [COMMAND [ARGUMENT ...]]

  (none)      set up .venv, annotate the bundled sample into out/sample and draw what was found
  setup       set up .venv and stop
  test        run the tests; arguments go to pytest
  check       ruff, mypy --strict and the layering test
  help        this text
  COMMAND     anything else goes to klue-beam: annotate, verify, evaluate, train, …

KLUE_BEAM_PYTHON names the Python to set up with (3.11 or later; 3.11 is what the tests run on).
TEXT
}

# Whether a Python is recent enough and can make environments.
python_fits() {
  "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
  local candidate
  if [[ -n "${KLUE_BEAM_PYTHON:-}" ]]; then
    python_fits "$KLUE_BEAM_PYTHON" && echo "$KLUE_BEAM_PYTHON" && return
    echo "KLUE_BEAM_PYTHON must be a Python of 3.11 or later with venv, got $KLUE_BEAM_PYTHON." >&2
    return 1
  fi
  for candidate in python3.11 python3.12 python3.13 python3; do
    python_fits "$candidate" && echo "$candidate" && return
  done
  echo "Python 3.11 or later with venv is needed and none was found on PATH. Install it (on Debian:" \
    "apt install python3 python3-venv), or set KLUE_BEAM_PYTHON to one." >&2
  return 1
}

# What the environment was made from: another text means that it is outdated. The folder is part of it, since the
# scripts of an environment carry its absolute path.
describe_setup() {
  echo "$root"
  cksum <"$root/setup.py"
  cksum <"$root/constraints.txt"
}

set_up() {
  local wanted python
  wanted="$(describe_setup)"
  if [[ -f "$stamp" && "$(<"$stamp")" == "$wanted" ]]; then
    return
  fi
  if ! python_fits "$venv/bin/python" || [[ -f "$stamp" && "$(head -n 1 "$stamp")" != "$root" ]]; then
    python="$(find_python)"
    echo "Setting up $venv with $("$python" --version); this takes some minutes the first time." >&2
    "$python" -m venv --clear "$venv"
  else
    echo "Bringing $venv up to date." >&2
  fi
  rm -f "$stamp"
  # setuptools warns of every editable install; nothing here can shadow it.
  PYTHONWARNINGS=ignore "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    -c "$root/constraints.txt" -e "$root[dev,kiwi]" >&2
  printf '%s\n' "$wanted" >"$stamp"
}

annotate_sample() {
  "$venv/bin/klue-beam" annotate --input "$root/examples/sample" --input_format jsonl --keep_metadata \
    --output "$root/out/sample" --preview "$@"
  echo
  echo "Parquet: $root/out/sample/data"
}

check() {
  local failed=0
  cd -- "$root"
  "$venv/bin/ruff" check . || failed=1
  "$venv/bin/ruff" format --check . || failed=1
  "$venv/bin/mypy" || failed=1
  "$venv/bin/pytest" tests/test_layering.py || failed=1
  return "$failed"
}

command="${1:-sample}"
shift || true

# One thread a process: more of them spin against each other where several processes share the cores.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
export TOKENIZERS_PARALLELISM="${TOKENIZERS_PARALLELISM:-false}"

case "$command" in
  help | -h | --help)
    usage
    ;;
  setup)
    set_up
    ;;
  sample)
    set_up
    annotate_sample "$@"
    ;;
  test)
    set_up
    cd -- "$root"
    HF_HUB_OFFLINE="${HF_HUB_OFFLINE:-1}" exec "$venv/bin/pytest" "$@"
    ;;
  check)
    set_up
    check
    ;;
  *)
    set_up
    exec "$venv/bin/klue-beam" "$command" "$@"
    ;;
esac
