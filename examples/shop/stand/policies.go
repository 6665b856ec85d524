package stand

import "regexp"

var recovery = regexp.MustCompile(`recovery_timeout_seconds: \d+`)

// plain is the policy that turns breakers off for the whole mesh.
const plain = `apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: plain}
spec:
  targetRefs: [{kind: Mesh}]
  mode: Disabled
`
