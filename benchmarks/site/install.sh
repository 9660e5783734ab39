#!/bin/sh
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# install.sh FOLDER: what the playbook site does, as somebody would write it down who knows the cluster already: copy, unpack,
# start, apply, ask. The artifacts, configuration files and manifests are the playbook's own (record.py). Left out is what the
# playbook does besides: checks before and after, checksums, the proof of each node, a second run that changes nothing.
set -eu
cd "$1"
# SERVER, AGENTS, ADDRESS, WASMEDGE, STRIP, WASINN, LABEL, DEPLOYMENTS, MODELS
# shellcheck source=/dev/null
. ./settings

on() { ssh -F ssh_config "$@"; }

# Connections stay open between commands, and would outlive the script.
trap 'for machine in $SERVER $AGENTS; do ssh -F ssh_config -O exit "$machine" 2>/dev/null || :; done' EXIT

# Runs a function for all machines at once, and fails if it fails for one.
everywhere() {
  running=
  for machine in $SERVER $AGENTS; do
    "$1" "$machine" &
    running="$running $!"
  done
  for process in $running; do wait "$process"; done
}

place() {
  on "$1" mkdir -p /var/tmp/stage
  scp -q -F ssh_config -r artifacts "files/$1" "$1:/var/tmp/stage/"
  on "$1" sh -es "$1" "$WASMEDGE" "$STRIP" "$WASINN" <<'END'
cd /var/tmp/stage/artifacts
wasmedge=/opt/wasinn/wasmedge shim=/opt/wasinn/shim/$4 images=/var/lib/rancher/k3s/agent/images
mkdir -p "$wasmedge/$2/plugin" "$shim" "$images" /var/lib/wasinn/models
tar -xzf wasmedge.tar.gz --strip-components="$3" -C "$wasmedge/$2" --wildcards '*/bin/*' '*/lib64/*'
tar -xzf plugin.tar.gz -C "$wasmedge/$2/plugin"
ln -sfn "$2" "$wasmedge/current"
tar -xzf shim.tar.gz -C "$shim"
ln -sf "$shim/containerd-shim-wasmedge-v1" /usr/local/bin/
mv k3s /usr/local/bin/k3s
chmod 755 /usr/local/bin/k3s
for tool in kubectl crictl ctr; do ln -sf k3s "/usr/local/bin/$tool"; done
mv k3s-airgap-images-* "$images/"
mv models/* /var/lib/wasinn/models/
(umask 077 && cp -r "../$1/." /)
systemctl daemon-reload
END
}

join() {
  # The server has its token already, the agents get it.
  [ "$1" = "$SERVER" ] && return
  on "$1" 'umask 077; cat >/etc/rancher/k3s/token; systemctl enable --now --quiet k3s-agent' <token
}

import() {
  on "$1" sh -es <<'END'
k3s=/usr/local/bin/k3s
until $k3s ctr -a /run/k3s/containerd/containerd.sock version >/dev/null 2>&1; do sleep 0.5; done
for image in /var/tmp/stage/artifacts/images/*; do
  $k3s ctr -a /run/k3s/containerd/containerd.sock -n k8s.io images import --all-platforms "$image" >/dev/null
done
rm -r /var/tmp/stage
END
}

kubectl() { on "$SERVER" /usr/local/bin/k3s kubectl "$@"; }

everywhere place
on "$SERVER" systemctl enable --now --quiet k3s
on "$SERVER" cat /var/lib/rancher/k3s/server/token >token
everywhere join
everywhere import
for node in $SERVER $AGENTS; do
  until kubectl wait --for=condition=Ready "node/$node" --timeout=300s >/dev/null 2>&1; do sleep 0.5; done
  kubectl label --overwrite node "$node" "$LABEL" >/dev/null
done
kubectl apply -f - <manifests.json >/dev/null
for deployment in $DEPLOYMENTS; do
  kubectl -n llamaedge rollout status "deployment/$deployment" --timeout=300s >/dev/null
done
for model in $MODELS; do
  question='{"model": "'$model'", "temperature": 0, "max_tokens": 48,
    "messages": [{"role": "user", "content": "What is the capital of France?"}]}'
  until curl -sf --noproxy '*' -H 'Content-Type: application/json' -d "$question" \
    "http://$ADDRESS:30080/v1/chat/completions" | grep -q Paris; do sleep 1; done
done
