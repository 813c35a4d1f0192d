#!/bin/sh
# Numba reads its cache only from a place that it could write to, so the compiled loops come along to /tmp.
[ -e "$NUMBA_CACHE_DIR" ] || cp -r /opt/numba "$NUMBA_CACHE_DIR" || echo "cannot write $NUMBA_CACHE_DIR" >&2
. /opt/processor.sh
use_processor_kind "$(processor_kind)"
exec "$@"
