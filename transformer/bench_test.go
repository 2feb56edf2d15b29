package transformer

import (
	"fmt"
	"testing"
	"time"

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

// perPoint reports what b has measured by point.
func perPoint(b *testing.B, points int, bytes int) {
	n := float64(b.N) * float64(points)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/point")
	b.ReportMetric(float64(bytes)*float64(b.N)/1e6/b.Elapsed().Seconds(), "MB/s")
	b.ReportMetric(float64(bytes)/float64(points), "B/point")
}

// BenchmarkDecode decodes a row batch.
func BenchmarkDecode(b *testing.B) {
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) {
			data := s.answer(s.series).bytes(b)
			var batch rowBatch
			for b.Loop() {
				if err := batch.decode(data); err != nil {
					b.Fatal(err)
				}
			}
			perPoint(b, batch.rows, len(data))
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
			bytes := 0
			once := func() {
				if err := w.bind(p); err != nil {
					b.Fatal(err)
				}
				w.points.reset(w.batch.rows)
				r := &windowRun{Transformer: t, plan: p, work: w, w: Window{Batches: 1, Rows: uint64(w.batch.rows)}}
				if err := r.check(0); err != nil {
					b.Fatal(err)
				}
				index := w.order.sort(len(w.appeared))
				w.measure(t, p, index)
				bytes = len(w.encode(t, p, index))
			}
			once()
			allocs := testing.AllocsPerRun(10, once)
			for b.Loop() {
				once()
			}
			perPoint(b, w.batch.rows, bytes)
			b.ReportMetric(allocs/float64(w.batch.rows), "allocs/point")
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
				bytes := 0
				once := func() {
					bytes = 0
					if _, err := t.Window(w, func(b Batch) error { bytes += len(b.Data); return nil }); err != nil {
						b.Fatal(err)
					}
				}
				once()
				allocs := testing.AllocsPerRun(10, once)
				for b.Loop() {
					once()
				}
				perPoint(b, int(w.Rows), bytes)
				b.ReportMetric(allocs/float64(w.Rows), "allocs/point")
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
			var answers [64]answer
			for i := range answers {
				answers[i] = s.answer(s.series)
				for _, row := range answers[i].rows {
					row[2] = row[2].(time.Time).AddDate(0, 0, i)
				}
			}
			w := window(b, serviceSpec(), answers[:]...)
			for b.Loop() {
				r := &windowRun{Transformer: t, plan: p, work: new(work), w: w}
				r.work.sets.maxArena = maxArena
				r.work.points.reset(r.expected())
				var ordinal uint64
				for n := range w.Batches {
					if err := r.load(n); err != nil {
						b.Fatal(err)
					}
					if err := r.check(ordinal); err != nil {
						b.Fatal(err)
					}
					ordinal += r.ordinals()
				}
			}
			perPoint(b, int(w.Rows), 0)
		})
	}
}

// BenchmarkReference is proto.Marshal of the same points, with messages made anew
// as an exporter on the generated code makes them.
func BenchmarkReference(b *testing.B) {
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) {
			a := s.answer(s.series)
			ref := reference{spec: serviceSpec(), out: Output{ServiceVersion: "1.0.0"}}
			bytes := 0
			once := func() {
				data, err := proto.Marshal(ref.requests(a)[0])
				if err != nil {
					b.Fatal(err)
				}
				bytes = len(data)
			}
			allocs := testing.AllocsPerRun(1, once)
			for b.Loop() {
				once()
			}
			perPoint(b, len(a.rows), bytes)
			b.ReportMetric(allocs/float64(len(a.rows)), "allocs/point")
		})
	}
}
