#!/bin/sh
# compile.sh FILE   compiles relay.c; needs clang, llvm and libbpf-dev of Debian.
set -eu
clang -O2 -g -Wall -Werror -target bpf -I"/usr/include/$(uname -m)-linux-gnu" -fdebug-compilation-dir=. -c relay.c -o "$1"
llvm-strip -g "$1"
