package policy

import (
	"breakwater.dev/outlier"
	"breakwater.dev/policy/internal/yamlwalk"
)

const outlierPath = "spec.outlierDetection"

// outlierFields returns the fields that [outlier.Fields] lists.
// [outlier.Config.Validate] says which values are allowed.
func outlierFields(o *outlier.Config) yamlwalk.Fields {
	r := newReaders()
	for _, f := range outlier.Fields() {
		r.add(f.Path, f.Pointer(o))
	}
	return r.fields
}

// resolvedOutlier returns the outlier detection that the policies ask for, or nil.
//
// Envoy detects gateway failures and failure percentages by default and enforces
// neither (enforcing_consecutive_gateway_failure, enforcing_failure_percentage and
// its local origin twin are 0). A threshold that was written is not meant to be
// ignored, so it is enforced unless its enforcing field was written too.
func (s *settings) resolvedOutlier() *outlier.Config {
	if !s.places.wrote(outlierPath) {
		return nil
	}
	o := s.outlier
	imply := func(threshold, enforcing string, dst *outlier.Percent) {
		if s.places.wrote(outlierPath+"."+threshold) && !s.places.wrote(outlierPath+"."+enforcing) {
			*dst = 100
		}
	}
	if o.ConsecutiveGatewayErrors > 0 {
		imply("consecutiveGatewayErrors", "enforcingConsecutiveGatewayErrors", &o.EnforcingConsecutiveGatewayErrors)
	}
	imply("failurePercentageThreshold", "enforcingFailurePercentage", &o.EnforcingFailurePercentage)
	if o.SplitExternalLocalOriginErrors {
		// Without the split the first rule sees the proxy's own errors too.
		imply("failurePercentageThreshold", "enforcingFailurePercentageLocalOrigin", &o.EnforcingFailurePercentageLocalOrigin)
	}
	if !s.places.wrote(outlierPath + ".maxEjectionTime") {
		// As Envoy does: its default is the larger of 300s and base_ejection_time.
		o.MaxEjectionTime = max(o.MaxEjectionTime, o.BaseEjectionTime)
	}
	return &o
}

// splitOnly are the fields that count only with splitExternalLocalOriginErrors.
var splitOnly = []string{
	"consecutiveLocalOriginFailures", "enforcingConsecutiveLocalOriginFailures",
	"enforcingLocalOriginSuccessRate", "enforcingFailurePercentageLocalOrigin",
}
