#!/usr/bin/env bash
# Makes a CA and the certificates that these manifests use, for a trial. In
# production take them from your own CA, for example with cert-manager, which
# makes Secrets of the same shape. Usage: certificates.sh DIRECTORY
#
# DIRECTORY/control-plane and DIRECTORY/proxy each get tls.crt, tls.key and ca.crt. DIRECTORY/store gets a password
# for the store of the replicas: as it is, for them, and as a line of the store's configuration.
set -euo pipefail
umask 077
readonly dir=${1:?usage: certificates.sh DIRECTORY}

# certificate NAME SUBJECT EXTENSIONS
certificate() {
	mkdir -p "$dir/$1"
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" \
		-keyout "$dir/$1/tls.key" -out "$dir/$1/request.pem"
	printf '%s\n' "$3" >"$dir/$1/extensions"
	openssl x509 -req -in "$dir/$1/request.pem" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial \
		-days 90 -extfile "$dir/$1/extensions" -out "$dir/$1/tls.crt"
	rm "$dir/$1/request.pem" "$dir/$1/extensions"
	cp "$dir/ca.crt" "$dir/$1/ca.crt"
}

mkdir -p "$dir"
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "/CN=breakwater trial CA" \
		-keyout "$dir/ca.key" -out "$dir/ca.crt"
	# Replicas are clients of each other too. They know each other by the name that their certificates share.
	certificate control-plane breakwater "extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:breakwater.breakwater.svc"
	# The control plane goes by these names (--node-identity), not by the subject: a proxy with this
	# certificate may be a pod of the workload shop and nothing else. Each workload gets its own.
	certificate proxy shop "extendedKeyUsage = clientAuth
subjectAltName = URI:spiffe://cluster.local/ns/shop/sa/shop, DNS:shop.shop.svc"
} 2>"$dir/openssl.log" || {
	cat "$dir/openssl.log" >&2
	exit 1
}
rm "$dir/openssl.log"
mkdir -p "$dir/store"
password=$(openssl rand -hex 32)
printf %s "$password" >"$dir/store/password"
echo "requirepass $password" >"$dir/store/auth.conf"
