package transformer

import (
	"fmt"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// shapes are the row batches that are measured: how many label sets in 8,192 rows,
// and whether they come in the order of time.
var shapes = []struct {
	name   string
	series int
	answer func(series int) answer
}{
	{"series=100", 100, func(n int) answer { return services(schemas.RowBatchRows, n) }},
	{"series=1000/unsorted", 1000, func(n int) answer { return services(schemas.RowBatchRows, n).shuffle() }},
	{"series=8192", 8192, func(n int) answer { return services(schemas.RowBatchRows, n) }},
}

// measure runs once until b is satisfied and reports by point what it took, in CPU
// time of the whole process: that is what a user pays, the collector's included,
// and it means something on a machine that has other things to do.
func measure(b *testing.B, points int, once func() (bytes int)) {
	b.Helper()
	bytes := once()
	allocs := testing.AllocsPerRun(2, func() { once() })
	runtime.GC() // what the preparation left is not the benchmark's
	start := cpu()
	for b.Loop() {
		once()
	}
	took := float64(cpu()-start) / float64(b.N)
	b.ReportMetric(took/float64(points), "cpu-ns/point")
	b.ReportMetric(float64(bytes)/took*1e3, "MB/cpu-s")
	b.ReportMetric(float64(bytes)/float64(points), "B/point")
	b.ReportMetric(allocs/float64(points), "allocs/point")
}

// cpu returns the CPU time this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDecode decodes a row batch.
func BenchmarkDecode(b *testing.B) {
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) {
			data := s.answer(s.series).bytes(b)
			var batch rowBatch
			measure(b, schemas.RowBatchRows, func() int {
				if err := batch.decode(data); err != nil {
					b.Fatal(err)
				}
				return len(data)
			})
		})
	}
}

// BenchmarkEncode goes from a decoded row batch to OTLP bytes: label sets,
// duplicates, order and encoding.
func BenchmarkEncode(b *testing.B) {
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) {
			t := mustNew(b, Output{Compression: None, ServiceVersion: "1.0.0"})
			p, err := compile(serviceSpec(), epoch)
			if err != nil {
				b.Fatal(err)
			}
			data := s.answer(s.series).bytes(b)
			w := new(work)
			w.sets.maxArena = maxArena
			if err := w.batch.decode(data); err != nil {
				b.Fatal(err)
			}
			measure(b, w.batch.rows, func() int {
				if err := w.bind(p, hashing|encoding); err != nil {
					b.Fatal(err)
				}
				w.points.reset(w.batch.rows)
				r := &windowRun{Transformer: t, plan: p, work: w, w: Window{Batches: 1, Rows: uint64(w.batch.rows)}}
				if err := r.check(0); err != nil {
					b.Fatal(err)
				}
				index := w.order.sort(len(w.appeared))
				w.measure(t, p, index)
				return len(w.encode(t, p, index))
			})
		})
	}
}

// BenchmarkTransform goes from a serialized row batch to a compressed OTLP batch.
func BenchmarkTransform(b *testing.B) {
	for _, c := range []Compression{None, Gzip, Zstd} {
		for _, s := range shapes {
			b.Run(fmt.Sprintf("%s/%s", c, s.name), func(b *testing.B) {
				t := mustNew(b, Output{Compression: c})
				w := window(b, serviceSpec(), s.answer(s.series))
				measure(b, int(w.Rows), func() int { return transformed(b, t, w) })
			})
		}
	}
}

// BenchmarkCheck is the first of the two passes over a window of 64 row batches,
// half a million rows, decoding included.
func BenchmarkCheck(b *testing.B) {
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) {
			t := mustNew(b, Output{})
			p, err := compile(serviceSpec(), epoch)
			if err != nil {
				b.Fatal(err)
			}
			w := largeWindow(b, s.series, s.answer)
			measure(b, int(w.Rows), func() int {
				r := &windowRun{Transformer: t, plan: p, work: new(work), w: w}
				r.work.sets.maxArena = maxArena
				r.work.points.reset(r.expected())
				var ordinal uint64
				for n := range w.Batches {
					if err := r.load(n, hashing); err != nil {
						b.Fatal(err)
					}
					if err := r.check(ordinal); err != nil {
						b.Fatal(err)
					}
					ordinal += r.ordinals()
				}
				return 0
			})
		})
	}
}

// BenchmarkWindow is a window of 64 row batches, half a million rows, from the
// serialized parts to gzipped OTLP batches: both passes.
func BenchmarkWindow(b *testing.B) {
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) {
			t := mustNew(b, Output{})
			w := largeWindow(b, s.series, s.answer)
			measure(b, int(w.Rows), func() int { return transformed(b, t, w) })
		})
	}
}

// transformed returns the bytes of a window's OTLP batches.
func transformed(b *testing.B, t *Transformer, w Window) (bytes int) {
	if _, err := t.Window(w, func(b Batch) error { bytes += len(b.Data); return nil }); err != nil {
		b.Fatal(err)
	}
	return bytes
}

// largeWindow returns a window of 64 row batches without duplicates.
func largeWindow(b *testing.B, series int, make func(int) answer) Window {
	var answers [64]answer
	for i := range answers {
		answers[i] = make(series)
		for _, row := range answers[i].rows {
			row[2] = row[2].(time.Time).AddDate(0, 0, i)
		}
	}
	return window(b, serviceSpec(), answers[:]...)
}

// BenchmarkReference makes the generated messages of the same points anew, as an
// exporter on them does, and marshals them. Its labels are strings already.
func BenchmarkReference(b *testing.B) {
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) {
			a := s.answer(s.series)
			ref := reference{spec: serviceSpec(), out: Output{ServiceVersion: "1.0.0"}}
			labels := ref.spec.Transform.LabelColumns
			measure(b, len(a.rows), func() int {
				var points []*refPoint
				for _, row := range a.rows {
					p := &metricspb.NumberDataPoint{
						TimeUnixNano: uint64(row[2].(time.Time).UnixNano()),
						Value:        &metricspb.NumberDataPoint_AsDouble{AsDouble: row[1].(float64)},
						Attributes:   make([]*commonpb.KeyValue, 0, len(labels)),
					}
					for i, l := range labels {
						if n, ok := row[3+i].(int64); ok {
							p.Attributes = append(p.Attributes, attribute(l, strconv.FormatInt(n, 10)))
						} else {
							p.Attributes = append(p.Attributes, attribute(l, row[3+i].(string)))
						}
					}
					points = append(points, &refPoint{row[0].(string), p})
				}
				data, err := proto.Marshal(ref.request(points))
				if err != nil {
					b.Fatal(err)
				}
				return len(data)
			})
		})
	}
}
