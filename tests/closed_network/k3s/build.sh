#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: Apache-2.0
#
# Builds k3s (the stand-in) and its images from the Go module proxy alone:
#   build.sh SOURCES WORK
# Results: WORK/out/k3s and WORK/out/k3s-airgap-images-<arch>.tar.zst.
# Versions come from the environment (builds/k3s.py).
set -euo pipefail
sources=$1 work=$2
mkdir -p "$work"/{bin,src,out}
export GOFLAGS="-buildvcs=false -mod=mod -trimpath" CGO_ENABLED=0

stage() { printf '%s %s\n' "$(date +%T)" "$*"; }

# A module's own sources, to be built with its own requirements: `go install
# module@version` refuses one whose go.mod has replace or exclude lines.
fetch() { # name module version
  local to="$work/src/$1-$3"
  if [ ! -d "$to" ]; then
    local from
    from=$(cd / && go mod download -json "$2@$3" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    rm -rf "$to.tmp" && cp -r "$from" "$to.tmp" && chmod -R u+w "$to.tmp" && rm -rf "$to.tmp/vendor" && mv "$to.tmp" "$to"
  fi
  cd "$to"
}

stage "CNI plugins $CNI_VERSION"
fetch cni github.com/containernetworking/plugins "$CNI_VERSION"
for plugin in main/ptp main/bridge main/loopback ipam/host-local meta/portmap; do
  go build -ldflags "-s -w" -o "$work/bin/${plugin##*/}" "./plugins/$plugin"
done

stage "runc $RUNC_VERSION"
fetch runc github.com/opencontainers/runc "$RUNC_VERSION"
# Part of runc is C, and the pods' default profile needs libseccomp: the
# machine's own, or the one of Debian's package, unpacked beside the build.
seccomp=$work/libseccomp
if [ ! -e "$(gcc -print-file-name=libseccomp.a)" ] && [ ! -d "$seccomp" ]; then
  mkdir -p "$seccomp.tmp"
  (cd "$seccomp.tmp" && apt-get -qq download libseccomp-dev && dpkg -x libseccomp-dev_*.deb .)
  mv "$seccomp.tmp" "$seccomp"
fi
cat > "$work/bin/pkg-config" <<EOF
#!/bin/sh
case "\$*" in
  *--cflags*) echo "-I$seccomp/usr/include" ;;
  *--libs*) echo "-L$seccomp/usr/lib/$(gcc -print-multiarch) -lseccomp" ;;
esac
EOF
chmod +x "$work/bin/pkg-config"
CGO_ENABLED=1 PKG_CONFIG=$work/bin/pkg-config go build -tags "seccomp netgo osusergo" \
  -ldflags "-s -w -extldflags -static -X main.version=${RUNC_VERSION#v}" -o "$work/bin/runc" .

stage "containerd $CONTAINERD_VERSION"
fetch containerd github.com/containerd/containerd/v2 "$CONTAINERD_VERSION"
for program in containerd containerd-shim-runc-v2 ctr; do
  go build -tags "no_btrfs no_devmapper no_zfs" -ldflags "-s -w -X github.com/containerd/containerd/v2/version.Version=$CONTAINERD_VERSION" \
    -o "$work/bin/$program" "./cmd/$program"
done

stage "kine $KINE_VERSION"
fetch kine github.com/k3s-io/kine "$KINE_VERSION"
go build -ldflags "-s -w" -o "$work/bin/kine" .

stage "CoreDNS $COREDNS_VERSION"
fetch coredns github.com/coredns/coredns "$COREDNS_VERSION"
go build -ldflags "-s -w" -o "$work/bin/coredns" .

stage "images"
gcc -static -Os -s -o "$work/bin/pause" "$sources/pause/pause.c"
rm -rf "$work/k3s" && cp -r "$sources" "$work/k3s" && cd "$work/k3s"
if ! grep -q "k8s.io/kubernetes $KUBERNETES_VERSION$" go.mod; then
  # Another patch release than the committed one: staging repositories carry v0.MINOR.PATCH.
  committed=$(sed -n 's/^\tk8s.io\/kubernetes v1\.\(.*\)$/\1/p' go.mod)
  sed -i "s/ v1\.$committed\$/ $KUBERNETES_VERSION/; s/ v0\.$committed\$/ v0.${KUBERNETES_VERSION#v1.}/" go.mod
  go mod tidy
fi
go build -o "$work/bin/pack" ./tools/pack
images="$work/out/k3s-airgap-images-$(go env GOARCH).tar.zst"
"$work/bin/pack" images "$images" wasinn.local/pause:1="$work/bin/pause" "wasinn.local/coredns:${COREDNS_VERSION#v}=$work/bin/coredns"

stage "Kubernetes $KUBERNETES_VERSION"
(cd "$work/bin" && ./pack bundle "$work/k3s/internal/bundle/assets/bundle.tar.zst" \
  containerd containerd-shim-runc-v2 ctr runc kine ptp bridge loopback host-local portmap)
component=k8s.io/component-base/version
minor=${KUBERNETES_VERSION#v1.} minor=${minor%%.*}
go build -o "$work/out/k3s.tmp" -ldflags "-s -w -X main.version=$K3S_VERSION -X main.kubernetes=$KUBERNETES_VERSION \
  -X $component.gitVersion=$K3S_VERSION -X $component.gitMajor=1 -X $component.gitMinor=$minor -X $component.gitTreeState=clean \
  -X $component.gitCommit=0000000000000000000000000000000000000000 -X $component.buildDate=2026-01-01T00:00:00Z" .
mv "$work/out/k3s.tmp" "$work/out/k3s"
"$work/out/k3s" --version
stage "done"
