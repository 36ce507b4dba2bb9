# Sourced by its neighbours: installing Debian packages where we may, and saying what to install where we may not.

# need WHAT PACKAGE...: after it the packages are installed, or the script has ended.
need() {
  what=$1
  shift
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: $what is needed: on Debian, install it with: sudo apt-get install $*" >&2
    exit 1
  fi
  echo "setup: installing $what ($*)"
  log=$(mktemp)
  {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@" ||
      { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@"; }
  } >"$log" 2>&1 </dev/null || {
    cat "$log" >&2
    rm -f "$log"
    echo "setup: $what could not be installed; apt's words are above" >&2
    exit 1
  }
  rm -f "$log"
}

# need_stopped WHAT PACKAGE...: the same, and no service that they bring is started (invoke-rc.d asks policy-rc.d).
need_stopped() {
  policy=/usr/sbin/policy-rc.d
  if [ "$(id -u)" = 0 ] && [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 0755 "$policy"
    need "$@"
    rm -f "$policy"
    trap - EXIT
  else
    need "$@"
  fi
}
