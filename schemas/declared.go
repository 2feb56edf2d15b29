package schemas

import (
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DeclaredBucket is the KV bucket of what is declared: a Declaration for each
// scheduler that runs.
const DeclaredBucket = "k2o_declared"

// DeclaredTTL is how long a Declaration counts; its scheduler writes it anew before.
const DeclaredTTL = time.Minute

// DeclaredPage is how many MetricsExporters one value of the bucket has at most.
const DeclaredPage = 500

// DeclaredKey is the key of a page, from 0, of what a scheduler has.
func DeclaredKey(scheduler string, page int) string {
	return Token(scheduler) + "." + strconv.Itoa(page)
}

// A Declaration is a page of what one scheduler was told to schedule. Its JSON is the
// bucket's value.
type Declaration struct {
	// Scheduler is the process: its host's name, and what makes it unique.
	Scheduler        string     `json:"scheduler"`
	MetricsExporters []Declared `json:"metricsExporters"`
	// Problems are what is wrong with documents that are no MetricsExporters for it.
	Problems []string `json:"problems,omitempty"`
}

// DeclaredState is what a scheduler does about a MetricsExporter.
type DeclaredState string

// The states. Of several schedulers the first of these counts.
const (
	DeclaredScheduled DeclaredState = "scheduled"
	DeclaredInvalid   DeclaredState = "invalid" // it cannot be scheduled
	DeclaredSuspended DeclaredState = "suspended"
	DeclaredElsewhere DeclaredState = "elsewhere" // its criteria do not match
)

// Declared is a MetricsExporter and what a scheduler does about it.
type Declared struct {
	Namespace string        `json:"namespace"`
	Name      string        `json:"name"`
	Exporter  string        `json:"exporter"`
	State     DeclaredState `json:"state"`
	// Reason says what makes it invalid.
	Reason string `json:"reason,omitempty"`
	// Since is when it came to this state.
	Since time.Time `json:"since"`
	// Interval, or Schedule and TimeZone, and IngestionDelay are those of its spec: when
	// its windows are due.
	Interval       metav1.Duration `json:"interval,omitzero"`
	Schedule       string          `json:"schedule,omitempty"`
	TimeZone       string          `json:"timeZone,omitempty"`
	IngestionDelay metav1.Duration `json:"ingestionDelay,omitzero"`
	// Backfill is the requestId of its spec.backfill; empty: there is none.
	Backfill string `json:"backfill,omitempty"`
}

// Key returns namespace/name.
func (d Declared) Key() string { return d.Namespace + "/" + d.Name }
