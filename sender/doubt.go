package sender

import (
	"time"
)

// doubt counts the answers of one batch that may be about the batch: a 500.
type doubt struct {
	refusals int       // while the endpoint took others
	since    time.Time // the first of them
	accepted uint64    // batches accepted at their first attempt, by then
}

const (
	// A batch that gets nothing but 500 is given up after poisonRefusals within at
	// least poisonTime during which at least poisonAccepted others were accepted when
	// first sent, and most MetricsExporters' last one was. Endpoints that are overloaded
	// or broken answer 500 too, to everything or here and there: of those that were
	// sent for the first time five in a row are hardly accepted then, and hardly each time.
	poisonRefusals = 5
	poisonTime     = 5 * time.Minute
	poisonAccepted = 5

	// debutAge is how long a first attempt tells something about the endpoint.
	debutAge = time.Hour
)

// debuts is how the latest first attempts of one MetricsExporter's batches ended.
type debuts struct {
	accepted int // in a row; 0: the last one failed
	at       time.Time
}

// debuted notes the end of a batch's first attempt.
func (b *breaker) debuted(key string, accepted bool) {
	d := b.debuts[key]
	if d == nil {
		d = &debuts{}
		b.debuts[key] = d
	}
	d.at = b.now()
	if !accepted {
		d.accepted = 0
		return
	}
	d.accepted++
	b.accepted++
}

// takesOthers says whether the endpoint is well, to judge by all but the failures
// of one MetricsExporter.
func (b *breaker) takesOthers(key string) bool {
	good, bad, inARow := 0, 0, 0
	for k, d := range b.debuts {
		switch {
		case b.now().Sub(d.at) > debutAge:
			delete(b.debuts, k)
		case d.accepted > 0:
			good++
			inARow += d.accepted
		case k != key:
			bad++
		}
	}
	return good > 0 && good >= bad && inARow >= poisonAccepted
}

// poison counts a 500 and says whether it was one too many.
func (b *breaker) poison(key string, d *doubt) bool {
	if !b.takesOthers(key) {
		*d = doubt{}
		return false
	}
	if d.refusals == 0 {
		d.since, d.accepted = b.now(), b.accepted
	}
	d.refusals++
	return d.refusals >= poisonRefusals && b.now().Sub(d.since) >= poisonTime && b.accepted >= d.accepted+poisonAccepted
}
