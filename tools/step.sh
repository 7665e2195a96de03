# step.sh: runs one step of a script quietly, shows how far it is, and says what went wrong. To be sourced by bash.
# shellcheck shell=bash
#
# Shape      run_step TEXT COMMAND...; its output goes to $log_file; on a terminal one line is kept up to date, elsewhere a
#            line every 20 s. show_step TEXT COMMAND...: the same for a command whose output people want to see
# Owner      the sourcing script sets log_file before the first step
# Errors     run_step returns the command's exit code after printing the last lines of its output (step_tail_count of
#            them, 40 where that is not set); a signal to the script ends the step's whole process group, and
#            then the script with 128 + the signal's number
# Threads    one step at a time

step_child=
step_signal=

on_step_signal() {
  step_signal=$1
  if [[ -z $step_child ]]; then exit $((128 + $(kill -l "$step_signal"))); fi
  kill -TERM -- "-$step_child" 2>/dev/null
}
for step_name in INT TERM HUP QUIT; do
  # shellcheck disable=SC2064  # the name is meant to be fixed now
  trap "on_step_signal $step_name" "$step_name"
done
unset step_name

# Starts the command in a process group of its own, which a signal to this script ends.
start_step() {
  set -m
  "$@" </dev/null &
  step_child=$!
  set +m
  [[ -z $step_signal ]] || on_step_signal "$step_signal"
}

# Waits for its end; leaves its exit code in step_status.
finish_step() {
  local text=$1
  step_status=0
  # A signal cuts `wait` short: until the process is gone, wait again.
  while :; do
    wait "$step_child" 2>/dev/null
    step_status=$?
    kill -0 "$step_child" 2>/dev/null || break
  done
  step_child=
  [[ -n $step_signal ]] || return 0
  [[ ! -t 1 ]] || printf '\r\033[K'
  echo "$text: stopped by $step_signal"
  exit $((128 + $(kill -l "$step_signal")))
}

show_step() {
  local text=$1 start=$SECONDS
  shift
  start_step "$@"
  finish_step "$text"
  step_seconds=$((SECONDS - start))
  if ((step_status != 0)); then echo "$text: FAILED (exit code $step_status) after $step_seconds s"; fi
  return "$step_status"
}

# The last "n/m" that the log shows after that many bytes, as ninja and ctest print it.
step_progress() {
  tail -c "+$(($1 + 1))" "$log_file" 2>/dev/null | tail -c 4000 | tr '\r' '\n' | grep -oE '^ *\[?[0-9]+/[0-9]+' | tail -n 1 | tr -d ' ['
}

# run_step TEXT COMMAND...: see above. The seconds that it took are left in step_seconds.
run_step() {
  local text=$1 start=$SECONDS shown=0 log_start
  shift
  mkdir -p "$(dirname "$log_file")"
  printf '\n==== %s: %s\n' "$text" "$*" >>"$log_file"
  log_start=$(wc -c <"$log_file")
  [[ -t 1 ]] || echo "$text ..."
  start_step "$@" >>"$log_file" 2>&1
  while kill -0 "$step_child" 2>/dev/null; do
    sleep 0.2
    if [[ -t 1 ]]; then
      printf '\r\033[K%s ... %d s  %s' "$text" $((SECONDS - start)) "$(step_progress "$log_start")"
    elif ((SECONDS - start >= shown + 20)); then
      shown=$((SECONDS - start))
      printf '  %s: %d s  %s\n' "$text" "$shown" "$(step_progress "$log_start")"
    fi
  done
  finish_step "$text"
  step_seconds=$((SECONDS - start))
  [[ ! -t 1 ]] || printf '\r\033[K'
  if ((step_status == 0)); then
    printf '%s: done, %d s\n' "$text" "$step_seconds"
    return 0
  fi
  if [[ ${step_tail_count:-40} == 0 ]]; then
    printf '%s: exit code %d, %d s\n' "$text" "$step_status" "$step_seconds"
    return "$step_status"
  fi
  printf '%s: FAILED (exit code %d) after %d s. The end of %s:\n' "$text" "$step_status" "$step_seconds" "$log_file"
  tail -c "+$((log_start + 1))" "$log_file" | tail -n "${step_tail_count:-40}" | sed 's/^/    /'
  return "$step_status"
}
