package record

import (
	"time"

	"breakwater.dev/breaker"
)

// config is a [breaker.Config] in the words of a policy. A record has every field.
type config struct {
	Mode                                  mode          `json:"mode"`
	ConsecutiveFailures                   uint32        `json:"consecutiveFailures"`
	SlidingWindow                         slidingWindow `json:"slidingWindow"`
	MinimumNumberOfCalls                  uint32        `json:"minimumNumberOfCalls"`
	FailureRateThreshold                  ratio         `json:"failureRateThreshold"`
	SlowCallDurationThreshold             duration      `json:"slowCallDurationThreshold"`
	SlowCallRateThreshold                 ratio         `json:"slowCallRateThreshold"`
	WaitDurationInOpenState               duration      `json:"waitDurationInOpenState"`
	Backoff                               backoff       `json:"backoff"`
	PermittedNumberOfCallsInHalfOpenState uint32        `json:"permittedNumberOfCallsInHalfOpenState"`
	SuccessThreshold                      uint32        `json:"successThreshold"`
	MaxWaitDurationInHalfOpenState        duration      `json:"maxWaitDurationInHalfOpenState"`
	Ramp                                  ramp          `json:"ramp"`
}

type (
	slidingWindow struct {
		Size     uint32   `json:"size"`
		Duration duration `json:"duration"`
	}
	backoff struct {
		Multiplier multiplier `json:"multiplier"`
		Max        duration   `json:"max"`
		Jitter     ratio      `json:"jitter"`
	}
	ramp struct {
		Duration duration `json:"duration"`
	}
)

// newConfig returns the record of c.
func newConfig(c breaker.Config) config {
	return config{
		Mode:                                  mode(c.Mode),
		ConsecutiveFailures:                   c.ConsecutiveFailures,
		SlidingWindow:                         slidingWindow{c.WindowSize, duration(c.WindowDuration)},
		MinimumNumberOfCalls:                  c.MinimumNumberOfCalls,
		FailureRateThreshold:                  ratio(c.FailureRateThreshold),
		SlowCallDurationThreshold:             duration(c.SlowCallDurationThreshold),
		SlowCallRateThreshold:                 ratio(c.SlowCallRateThreshold),
		WaitDurationInOpenState:               duration(c.WaitDurationInOpenState),
		Backoff:                               backoff{multiplier(c.BackoffMultiplier), duration(c.BackoffMax), ratio(c.BackoffJitter)},
		PermittedNumberOfCallsInHalfOpenState: c.PermittedNumberOfCallsInHalfOpenState,
		SuccessThreshold:                      c.SuccessThreshold,
		MaxWaitDurationInHalfOpenState:        duration(c.MaxWaitDurationInHalfOpenState),
		Ramp:                                  ramp{duration(c.RampDuration)},
	}
}

// config returns the configuration of the record c.
func (c config) config() breaker.Config {
	return breaker.Config{
		Mode:                                  breaker.Mode(c.Mode),
		ConsecutiveFailures:                   c.ConsecutiveFailures,
		WindowSize:                            c.SlidingWindow.Size,
		WindowDuration:                        time.Duration(c.SlidingWindow.Duration),
		MinimumNumberOfCalls:                  c.MinimumNumberOfCalls,
		FailureRateThreshold:                  breaker.Ratio(c.FailureRateThreshold),
		SlowCallDurationThreshold:             time.Duration(c.SlowCallDurationThreshold),
		SlowCallRateThreshold:                 breaker.Ratio(c.SlowCallRateThreshold),
		WaitDurationInOpenState:               time.Duration(c.WaitDurationInOpenState),
		BackoffMultiplier:                     breaker.Hundredths(c.Backoff.Multiplier),
		BackoffMax:                            time.Duration(c.Backoff.Max),
		BackoffJitter:                         breaker.Ratio(c.Backoff.Jitter),
		PermittedNumberOfCallsInHalfOpenState: c.PermittedNumberOfCallsInHalfOpenState,
		SuccessThreshold:                      c.SuccessThreshold,
		MaxWaitDurationInHalfOpenState:        time.Duration(c.MaxWaitDurationInHalfOpenState),
		RampDuration:                          time.Duration(c.Ramp.Duration),
	}
}
