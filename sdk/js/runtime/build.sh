#!/bin/sh
# Builds sdk/js/quickjs.wasm: QuickJS, from its source as Debian has it, and the glue
# here. Needs curl, xz and Debian's clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32;
# the same bytes come out wherever these are the same.
#
#   build.sh OUT [CACHE]     CACHE: folder that the source is kept in; build/quickjs
set -eu
url=http://deb.debian.org/debian/pool/main/q/quickjs/quickjs_2025.04.26.orig.tar.xz
sum=ec81da5b3249ed648dbc7df4a1654988910e66a118d9b71cb63534216efcfbbe

here=$(cd "$(dirname "$0")" && pwd)
cache=${2:-build/quickjs}
mkdir -p "$cache" "$(dirname "$1")"
out=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
cache=$(cd "$cache" && pwd)

tarball=$cache/quickjs.tar.xz
if ! echo "$sum  $tarball" | sha256sum -c --status 2>/dev/null; then
  curl -fsSL --retry 3 -o "$tarball.new" "$url"
  echo "$sum  $tarball.new" | sha256sum -c --status || { echo "$url is not the source that is expected" >&2; exit 1; }
  mv "$tarball.new" "$tarball"
fi

work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/qjs" "$work/obj"
tar -xJf "$tarball" -C "$work/qjs" --strip-components=1

# EMSCRIPTEN is QuickJS's word for "this is WebAssembly": no threads, and a switch instead of
# computed jumps. The check of the stack is as good here as elsewhere.
flags="--target=wasm32-wasi --sysroot=/usr -O2 -D_GNU_SOURCE -DEMSCRIPTEN -DCONFIG_STACK_CHECK -DNDEBUG
  -fno-math-errno -ffile-prefix-map=$work=. -ffile-prefix-map=$here=. -I$here/include -I$work/qjs"
for f in libregexp libunicode cutils dtoa; do
  clang-19 $flags -w -DCONFIG_VERSION='"2025-04-26"' -c "$work/qjs/$f.c" -o "$work/obj/$f.o"
done
clang-19 $flags -w -DCONFIG_VERSION='"2025-04-26"' -c "$here/engine.c" -o "$work/obj/engine.o"
for f in main host event upcast text quiet emit; do
  clang-19 $flags -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-cast-function-type -c "$here/$f.c" -o "$work/obj/$f.o"
done
cd "$work/obj"
clang-19 --target=wasm32-wasi --sysroot=/usr -mexec-model=reactor -Wl,--strip-all \
  -Wl,-z,stack-size=1048576 -Wl,--stack-first \
  main.o host.o event.o upcast.o text.o quiet.o engine.o libregexp.o libunicode.o cutils.o dtoa.o -lc emit.o \
  -o "$out"
