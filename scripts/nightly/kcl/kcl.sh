#!/usr/bin/env bash
# Hands a lease table over to and from KCL 2 and KCL 3.5; scripts/nightly.sh runs it. One JVM at a time besides DynamoDB Local.
#
#   kcl.sh ESCLUSA PLUGINS [VERSION...]
#
# Needs a JDK of 17 or newer and Maven, which fetches KCL once per version into target/kcl.
set -euo pipefail
cd "$(dirname "$0")/../../.."
esclusa=$1 plugins=$2
shift 2
[ $# -gt 0 ] || set -- 3.5.1 2.7.2
for tool in mvn javac java; do
  command -v $tool >/dev/null || { echo "kcl: needs $tool: apt-get install maven default-jdk-headless" >&2; exit 2; }
done
scripts/python.sh
for version in "$@"; do
  home=target/kcl/$version
  if [ ! -f "$home/.complete" ]; then
    mkdir -p "$home"
    mvn -q -B -Dstyle.color=never -f scripts/nightly/kcl/pom.xml -Dkcl.version="$version" dependency:copy-dependencies -DoutputDirectory="$PWD/$home/lib"
    touch "$home/.complete"
  fi
  javac -nowarn -Xlint:-deprecation -d "$home/classes" -cp "$home/lib/*" scripts/nightly/kcl/Consumer.java
  scripts/servers.sh run target/venv/bin/python scripts/nightly/kcl/handover.py "$esclusa" "$plugins" "$home/classes" "$home/lib" "$version"
done
