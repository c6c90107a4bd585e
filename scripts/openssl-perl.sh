#!/bin/sh
# Perl, for the crate that compiles OpenSSL (OPENSSL_SRC_PERL in quick-build.toml). OpenSSL chooses its own level of optimisation, whatever Cargo
# says, and has no setting for it but the arguments of its Configure: the last level counts.
[ "${1-} ${OPT_LEVEL-}" != "./Configure 0" ] || set -- "$@" -O0
exec perl "$@"
