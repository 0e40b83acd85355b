#!/bin/sh
# Runs every target: run.sh BINARIES FOUND [libFuzzer's flags].
# Inputs that are new to a target are kept in FOUND, and so is one that fails, which is printed too; corpus/ is only read.
set -eu
cd "$(dirname "$0")"
binaries=$1
found=$2
shift 2
for source in fuzz_targets/*.rs; do
    target=$(basename "$source" .rs)
    mkdir -p "$found/$target"
    log="$found/$target.log"
    if ! "$binaries/$target" -max_len=4096 -timeout=60 -print_final_stats=1 "$@" \
        -artifact_prefix="$found/$target-" "$found/$target" "corpus/$target" >"$log" 2>&1; then
        grep -A 20 -m 1 -E 'panicked at|ERROR' "$log" || tail -n 20 "$log"
        grep '^Base64: ' "$log" || true
        echo "fuzz: $target fails. The input is in $found/$target-*; to see it again: $binaries/$target THAT-FILE" >&2
        exit 1
    fi
    awk -v target="$target" '
        /INITED/ { before = $4 }
        /DONE/ { after = $4 }
        /number_of_executed_units/ { runs = $2 }
        END { printf "%-10s %9d runs, edges %d, of which %d new to the corpus\n", target, runs, after, after - before }' "$log"
done
