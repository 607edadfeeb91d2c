#!/usr/bin/env bash
# Prints the path of a Chromium: that in SERIN_CHROMIUM, the one on PATH, else one from the packages of Debian, unpacked
# into the cache without the rights of root. Lists of packages of its own are fetched with it: those of the machine may be
# missing or old.
set -euo pipefail
if [ -n "${SERIN_CHROMIUM:-}" ]; then
    echo "$SERIN_CHROMIUM"
    exit
fi
for name in chromium chromium-headless-shell; do
    if command -v "$name"; then exit; fi
done
home=${XDG_CACHE_HOME:-$HOME/.cache}/serin
root=$home/chromium
if [ ! -x "$root/run" ]; then
    mkdir -p "$home"
    work=$(mktemp -d "$home/.install-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work/debs" "$work/chromium" "$work/lists/partial" "$work/archives/partial"
    apt=(apt-get -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work" -o Debug::NoLocking=1 -o APT::Sandbox::User=)
    "${apt[@]}" --quiet update >&2
    # What is installed already is not downloaded again.
    list=$("${apt[@]}" install --simulate --no-install-recommends chromium-headless-shell | awk '/^Inst / { print $2 }')
    (cd "$work/debs" && "${apt[@]}" download $list >&2)
    for deb in "$work"/debs/*.deb; do dpkg-deb --extract "$deb" "$work/chromium"; done
    cat >"$work/chromium/run" <<'RUN'
#!/bin/sh
root=$(dirname "$0")
libraries=$(find "$root/usr/lib" "$root/lib" -name '*.so*' -exec dirname {} + 2>/dev/null | sort -u | tr '\n' ':')
LD_LIBRARY_PATH=$libraries exec "$root/usr/lib/chromium/chromium-headless-shell" "$@"
RUN
    chmod +x "$work/chromium/run"
    mv -T "$work/chromium" "$root" || [ -x "$root/run" ]
fi
echo "$root/run"
