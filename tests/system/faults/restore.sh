#!/bin/sh
# Brings a container device back to where every row begins, whatever befell it: all but the engine itself.
# Not by the agent: what it left behind is under test. /var/lib/faults holds what site.yml made.
set -e
tests=/run/faults snapshot=/var/lib/faults

rm -f /usr/local/bin/systemctl
mkdir -p $tests
touch $tests/go-on
cat $tests/*.pid 2>/dev/null | while read -r pid; do kill -9 "$pid" 2>/dev/null || true; done
kill -CONT "$(systemctl show --property MainPID --value docker.service)" 2>/dev/null || true
for chain in INPUT OUTPUT; do iptables -w -F FAULTS-$chain 2>/dev/null || true; done
iptables -w -t nat -F FAULTS-OUTPUT 2>/dev/null || true

for place in /proc/[0-9]*; do
  if tr '\0' ' ' <"$place/cmdline" 2>/dev/null | grep -q '^/usr/bin/python3 -I /\(opt/thor/agent\|run/thor/agents/[0-9a-f]*\).pyz'; then
    kill -9 "${place#/proc/}" 2>/dev/null || true
  fi
done
for unit in $(systemctl list-units --all --plain --no-legend --no-pager \
  'thor-job-*' 'thor-activating-*' 'thor-trial-*' 'thor-rolling-back-*' | cut -d' ' -f1); do
  systemctl stop "$unit" || true
done

if mountpoint -q $tests/disk; then
  umount -l /var/lib/thor
  umount -l $tests/disk
  touch $snapshot/dirty
fi
mount -o remount,bind,rw /var/lib/thor
if mountpoint -q /etc/systemd/system; then umount -l /etc/systemd/system; fi

systemctl unmask --quiet --runtime docker.service docker.socket
systemctl reset-failed
systemctl start docker.socket docker.service
systemctl stop thor-fetch.service 2>/dev/null || true

rm -rf $tests
mkdir -p $tests
# The engine that runs keeps its socket.
find /run/thor -mindepth 1 ! -name boot ! -path '/run/thor/engines*' ! -path /run/thor/private ! -name 'engine-main.*' -delete
cd /var/lib/thor
rm -rf state.json events.jsonl* smoke.json ballast pulling.json filler cache-is-own .tmp-*
rm -f checkpoints/*/engine-modes.json
rm -rf checkpoints/.staging-* checkpoints/.tmp-* incoming/*
chmod -R u+w releases
rm -rf releases
cp -a $snapshot/releases $snapshot/state.json .
for place in "$snapshot"/checkpoints/*; do
  name=$(basename "$place")
  if ! diff -rq "$place" "checkpoints/$name" >/dev/null 2>&1; then
    rm -rf "checkpoints/$name"
    cp -a "$place" checkpoints/
  fi
done

# The agent's own record of what it hashed names inodes, which a copy does not have.
/usr/bin/python3 -I - <<'EOF'
import sys

sys.path.insert(0, "/opt/thor/agent.pyz")
from thorctl.agent.__main__ import make_context
from thorctl.agent.core.arguments import parser
from thorctl.agent.release import store
from thorctl.agent.staging import checkpoint, verified

ctx = make_context(parser().parse_args(["status"]))
for name in store.staged_ids(ctx.paths):
    release = store.read_document(ctx.paths, name)
    assert not verified.check(ctx, checkpoint.final_dir(ctx, release), release.checkpoint_files)
EOF
