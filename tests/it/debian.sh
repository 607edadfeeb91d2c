#!/usr/bin/env bash
# Prints how to run a program of one of Debian's packages: PACKAGE, the path of its PROGRAM below the root, and optionally an extended
# regular expression of the packages to take along. It is unpacked into the cache, once, without the rights of root. Lists of packages
# of its own are fetched with it: those of the machine may be missing or old.
set -euo pipefail
package=$1 program=$2 wanted=${3:-.}
home=${XDG_CACHE_HOME:-$HOME/.cache}/serin
root=$home/$package
if [ ! -x "$root/run" ]; then
    mkdir -p "$home"
    work=$(mktemp -d "$home/.install-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work/debs" "$work/root" "$work/lists/partial" "$work/archives/partial"
    apt=(apt-get -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work" -o Debug::NoLocking=1 -o APT::Sandbox::User=)
    "${apt[@]}" --quiet update >&2
    # What is installed already is not downloaded again.
    list=$("${apt[@]}" install --simulate --no-install-recommends "$package" | awk '/^Inst / { print $2 }' | grep -E "$wanted")
    (cd "$work/debs" && "${apt[@]}" download $list >&2)
    for deb in "$work"/debs/*.deb; do dpkg-deb --extract "$deb" "$work/root"; done
    cat >"$work/root/run" <<RUN
#!/bin/sh
root=\$(dirname "\$0")
libraries=\$(find "\$root/usr/lib" "\$root/lib" -name '*.so*' -exec dirname {} + 2>/dev/null | sort -u | tr '\n' ':')
LD_LIBRARY_PATH=\$libraries exec "\$root/$program" "\$@"
RUN
    chmod +x "$work/root/run"
    mv -T "$work/root" "$root" || [ -x "$root/run" ]
fi
echo "$root/run"
