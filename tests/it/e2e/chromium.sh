#!/usr/bin/env bash
# Prints the path of a Chromium: that in SERIN_CHROMIUM, the one on PATH, else one from the packages of Debian.
set -euo pipefail
if [ -n "${SERIN_CHROMIUM:-}" ]; then
    echo "$SERIN_CHROMIUM"
    exit
fi
for name in chromium chromium-headless-shell; do
    if command -v "$name"; then exit; fi
done
exec bash "$(dirname "$0")/../debian.sh" chromium-headless-shell usr/lib/chromium/chromium-headless-shell
