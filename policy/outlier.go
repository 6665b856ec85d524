package policy

import (
	"time"

	"breakwater.dev/outlier"
	"breakwater.dev/policy/internal/yamlwalk"
)

const outlierPath = "spec.outlierDetection"

// outlierFields take any duration, and any number that is not absurd:
// [outlier.Config.Validate] says which are allowed.
func outlierFields(o *outlier.Config) yamlwalk.Fields {
	count := func(dst *uint32) yamlwalk.Field { return yamlwalk.Integer(dst, 0, outlier.MaxCount) }
	duration := func(dst *time.Duration) yamlwalk.Field { return yamlwalk.Duration(dst, -anyDuration, anyDuration) }
	percent := yamlwalk.WholePercent
	return yamlwalk.Fields{
		"scope":                                       yamlwalk.OneOf(&o.Scope, outlier.Node, outlier.Mesh),
		"consecutive5xxErrors":                        count(&o.Consecutive5xxErrors),
		"enforcingConsecutive5xxErrors":               percent(&o.EnforcingConsecutive5xxErrors),
		"consecutiveGatewayErrors":                    count(&o.ConsecutiveGatewayErrors),
		"enforcingConsecutiveGatewayErrors":           percent(&o.EnforcingConsecutiveGatewayErrors),
		"splitExternalLocalOriginErrors":              yamlwalk.Bool(&o.SplitExternalLocalOriginErrors),
		"consecutiveLocalOriginFailures":              count(&o.ConsecutiveLocalOriginFailures),
		"enforcingConsecutiveLocalOriginFailures":     percent(&o.EnforcingConsecutiveLocalOriginFailures),
		"enforcingLocalOriginSuccessRate":             percent(&o.EnforcingLocalOriginSuccessRate),
		"interval":                                    duration(&o.Interval),
		"baseEjectionTime":                            duration(&o.BaseEjectionTime),
		"maxEjectionTime":                             duration(&o.MaxEjectionTime),
		"maxEjectionTimeJitter":                       duration(&o.MaxEjectionTimeJitter),
		"maxEjectionPercent":                          percent(&o.MaxEjectionPercent),
		"alwaysEjectOneEndpoint":                      yamlwalk.Bool(&o.AlwaysEjectOneEndpoint),
		"successRateMinimumEndpoints":                 count(&o.SuccessRateMinimumEndpoints),
		"successRateRequestVolume":                    count(&o.SuccessRateRequestVolume),
		"successRateStdevFactor":                      count(&o.SuccessRateStdevFactor),
		"enforcingSuccessRate":                        percent(&o.EnforcingSuccessRate),
		"failurePercentageThreshold":                  percent(&o.FailurePercentageThreshold),
		"failurePercentageMinimumEndpoints":           count(&o.FailurePercentageMinimumEndpoints),
		"failurePercentageRequestVolume":              count(&o.FailurePercentageRequestVolume),
		"enforcingFailurePercentage":                  percent(&o.EnforcingFailurePercentage),
		"enforcingFailurePercentageLocalOrigin":       percent(&o.EnforcingFailurePercentageLocalOrigin),
		"successfulActiveHealthCheckUnejectsEndpoint": yamlwalk.Bool(&o.SuccessfulActiveHealthCheckUnejectsEndpoint),
		"detectDegradedEndpoints":                     yamlwalk.Bool(&o.DetectDegradedEndpoints),
	}
}

// resolvedOutlier returns the outlier detection that the policies ask for, or nil.
//
// Envoy detects gateway failures and failure percentages by default and enforces
// neither (enforcing_consecutive_gateway_failure, enforcing_failure_percentage and
// its local origin twin are 0). Nobody writes a threshold to have it ignored, so a
// threshold that is written is enforced unless its enforcing field is written too.
func (s *settings) resolvedOutlier() *outlier.Config {
	if !s.places.wrote(outlierPath) {
		return nil
	}
	o := s.outlier
	imply := func(threshold, enforcing string, dst *uint32) {
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
