#!/bin/sh
# Compiles for `make coverage`: cargo calls this in place of rustc for the crates of this workspace alone
# (RUSTC_WORKSPACE_WRAPPER), so that nobody else's code is counted.
# Counters that are written to a file as they change survive a test that kills its server.
exec "$@" -Cinstrument-coverage -Cllvm-args=-runtime-counter-relocation
