#!/usr/bin/env bash
# Deploys a tag: deploy.sh v1.2.3 [--token-file FILE]
set -euo pipefail

TAG=${1:?usage: deploy.sh TAG}
TOKEN_FILE=${TOKEN_FILE:-/run/secrets/deploy_token}
: "${REGISTRY_PASSWORD:?set REGISTRY_PASSWORD}"
BUILD=$(date -u +%Y%m%d%H%M%S)
IMAGE="registry.example.com/app:${TAG}-${BUILD}"
DIGEST=sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

echo "$REGISTRY_PASSWORD" | docker login --username ci --password-stdin registry.example.com
docker build --secret id=npm_token,env=NPM_TOKEN --build-arg VERSION="$TAG" -t "$IMAGE" .
docker push "$IMAGE"

curl -fsS -H "Authorization: Bearer $(cat "$TOKEN_FILE")" -H "X-Request-Id: $(uuidgen)" \
    -d "{\"image\": \"$IMAGE\", \"digest\": \"$DIGEST\"}" "https://deploy.example.com/v1/releases/${TAG}"

for attempt in 1 2 3 4 5; do
    status=$(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8080/health) && [ "$status" = 200 ] && exit 0
    printf '%s attempt %d: %s\n' "$(date +%s)" "$attempt" "$status" >&2
    sleep 1
done
printf 'password or token refused? see https://wiki.example.com/pages/1234567890\n' >&2
exit 1
