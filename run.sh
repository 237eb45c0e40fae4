#!/usr/bin/env bash
# Set up .venv where it is absent or outdated, then run one of the commands that `run.sh help` lists.
set -euo pipefail

root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)"
venv="$root/.venv"
stamp="$venv/.klue-beam-stamp"
cpu_index="https://download.pytorch.org/whl/cpu"

usage() {
  cat <<'TEXT'
Usage: run.sh [COMMAND [ARGUMENT ...]]

  (none)      set up .venv, annotate the bundled sample into out/sample and draw what was found
  setup       set up .venv and stop; with names of extras (kiwi gcp aws dev browser) these, too
  test        run the tests; arguments go to pytest
  check       ruff, mypy --strict and the layering test
  help        this text
  COMMAND     anything else goes to klue-beam: annotate, verify, evaluate, train, …

The first setup installs some 110 packages, 1.8 GB on disk; `test` and `check` add a hundred more. On Linux with an NVIDIA
GPU torch brings CUDA: 3 GB more to download.

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
# scripts of an environment carry its absolute path. The last line is the extras that are in it.
describe_setup() {
  echo "$root"
  cksum <"$root/setup.py"
  cksum <"$root/constraints.txt"
}

# The extras of an environment that is up to date, between commas; fails if it is not.
list_extras() {
  [[ -f "$stamp" && "$(head -n 3 "$stamp")" == "$(describe_setup)" ]] && tail -n 1 "$stamp"
}

# Tell what pip does: each large package, how many there are, and how much they are together.
show_progress() {
  "$venv/bin/python" -u -c '
import re, sys

UNITS = {"bytes": 1e-6, "kB": 1e-3, "MB": 1, "GB": 1e3}
packages, megabytes = 0, 0.0
for line in sys.stdin:
    found = re.match(r"\s*(?:Downloading|Using cached) (\S+) \(([\d.]+) (\w+)\)", line)
    if found and not found[1].endswith(".metadata"):
        packages, size = packages + 1, float(found[2]) * UNITS[found[3]]
        megabytes += size
        if size >= 5:
            name = "-".join(found[1].rsplit("/", 1)[-1].split("-")[:2])
            print(f"  {packages:3} packages, {megabytes:6,.0f} MB: {name}", file=sys.stderr)
    elif line.startswith("Installing collected packages:"):
        print(f"  unpacking {line.count(chr(44)) + 1} packages", file=sys.stderr)
'
}

install() {
  # setuptools warns of every editable install; nothing here can shadow it.
  PYTHONWARNINGS=ignore "$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off --no-compile \
    -c "$root/constraints.txt" "$@" | show_progress
}

# PyPI's torch for Linux brings CUDA. Where there is no GPU, take PyTorch's own build without it, if it can be reached.
install_torch_without_cuda() {
  [[ "$(uname -sm)" == "Linux x86_64" ]] || return 0
  if [[ -e /proc/driver/nvidia/version ]] || command -v nvidia-smi >/dev/null; then
    return 0
  fi
  "$venv/bin/python" -c 'import torch' 2>/dev/null && return 0
  install --no-deps --timeout 10 --retries 0 --index-url "$cpu_index" torch 2>/dev/null ||
    echo "  $cpu_index cannot be reached: torch comes from PyPI." >&2
}

# Set up .venv with some extras, beside those that are in it.
set_up() {
  local python extra extras there
  extras="query"
  there="$(list_extras || true)"
  for extra in ${there//,/ } "$@"; do
    [[ ",$extras," == *",$extra,"* ]] || extras+=",$extra"
  done
  if [[ -n "$there" && "$extras" == "$there" ]]; then
    return
  fi
  if ! python_fits "$venv/bin/python" || [[ -f "$stamp" && "$(head -n 1 "$stamp")" != "$root" ]]; then
    python="$(find_python)"
    echo "Setting up $venv with $("$python" --version); \`run.sh help\` says how large it is." >&2
    "$python" -m venv --clear "$venv"
  else
    echo "Bringing $venv up to date." >&2
  fi
  rm -f "$stamp"
  SECONDS=0
  install_torch_without_cuda
  install -e "$root[$extras]"
  { describe_setup && echo "$extras"; } >"$stamp"
  echo "Done in $SECONDS seconds: $(du -sm "$venv" | cut -f 1) MB in $venv." >&2
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
    set_up "$@"
    ;;
  sample)
    set_up
    annotate_sample "$@"
    ;;
  test)
    set_up dev
    cd -- "$root"
    HF_HUB_OFFLINE="${HF_HUB_OFFLINE:-1}" exec "$venv/bin/pytest" "$@"
    ;;
  check)
    set_up dev
    check
    ;;
  *)
    set_up
    exec "$venv/bin/klue-beam" "$command" "$@"
    ;;
esac
