#!/bin/sh
# Compiles for the fuzzer: cargo calls this in place of rustc, with rustc as its first argument (RUSTC_WRAPPER).
# Our own crate alone is instrumented, with the flags of cargo-fuzz. To count in the AWS SDK as well would cost minutes of
# building, and make every run slower, for code that no target calls.
set -eu
case " $* " in
*" --crate-name rolecall "*)
    exec "$@" --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1
    ;;
*) exec "$@" ;;
esac
