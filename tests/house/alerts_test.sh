#!/usr/bin/env bash
# alerts_test.sh: the alert rules are valid, name metrics that there are, and fire when they should (alerts_test.yml).
#
# Usage      alerts_test.sh SOURCE_DIR BUILD_DIR; promtool is PATH's, or unpacked below BUILD_DIR from Debian's package prometheus,
#            which is not installed (it would start a server)
source "$(dirname "$0")/check.sh"
source_dir=$1 build_dir=$2
rules=$source_dir/tools/prometheus/hugepool.rules.yml

unpack_promtool() {
  local folder
  folder=$(mktemp -d "$build_dir/promtool.XXXXXX") || return
  (cd "$folder" && apt-get -q -o APT::Sandbox::User=root download prometheus && dpkg-deb --extract ./*.deb .) &&
    mv "$folder/usr/bin/promtool" "$build_dir/promtool"
  local status=$?
  rm -rf "$folder"
  return "$status"
}
promtool=$(command -v promtool) || promtool=$build_dir/promtool
if [[ ! -x $promtool ]]; then
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || skip "promtool is missing, and this is no Debian system"
  unpack_promtool >"$scratch/apt.log" 2>&1 || skip "promtool cannot be had: $(tail -n 1 "$scratch/apt.log")"
fi

must "checking the rules" "$promtool" check rules "$rules"
grep -q 'SUCCESS: [1-9]' "$scratch/must.log" || fail "no rule was found: $(<"$scratch/must.log")"
cp "$rules" "$source_dir/tests/house/alerts_test.yml" "$scratch"
must "playing the alerts through" "$promtool" test rules "$scratch/alerts_test.yml"
grep -q SUCCESS "$scratch/must.log" || fail "no test ran: $(<"$scratch/must.log")"

# What is summed must be written by somebody.
mapfile -t metrics < <(grep -o 'hugepool_[a-z_]*' "$rules" | sort -u)
((${#metrics[@]} > 5)) || fail "hardly a metric in $rules"
for metric in "${metrics[@]}"; do
  grep -q "\"$metric\"" "$source_dir"/pool/*.cc "$source_dir"/pool/*.h "$source_dir"/engine_integration/rocksdb/*.cc ||
    fail "no source writes the metric $metric"
done
echo "passed: ${#metrics[@]} metrics"
