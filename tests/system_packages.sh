#!/bin/sh
# What the tests run besides Python: curl (with HTTP/2), node and npm (for the real programs, see tests/e2e/programs), openssl,
# and chromium for the dashboard. Installed where apt-get and the right to use it are there.
missing=""
for command in curl node npm openssl chromium; do
    command -v "$command" >/dev/null 2>&1 || missing="$missing $command"
done
[ -z "$missing" ] && exit 0
packages=$(echo "$missing" | sed 's/node/nodejs/; s/update-ca-certificates/ca-certificates/')
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $packages >/dev/null && exit 0
fi
echo "the tests need$missing: install these first (Debian: apt-get install$packages)" >&2
exit 1
