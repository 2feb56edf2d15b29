package transformer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// TestRowBatchErrors has batches that no querier writes.
func TestRowBatchErrors(t *testing.T) {
	t.Parallel()
	column := func(c *wire.Column) *wire.RowBatch { return &wire.RowBatch{Rows: 2, Columns: []*wire.Column{c}} }
	for _, tt := range []struct {
		name  string
		batch *wire.RowBatch
		want  string
	}{
		{"ErrNoColumns", &wire.RowBatch{Rows: 2}, "2 rows without a column"},
		{"ErrManyRows", &wire.RowBatch{Rows: math.MaxUint32}, "4294967295 rows are more than a batch can have"},
		{"ErrType", column(&wire.Column{Name: "c", Type: "float", Reals: []float64{1, 2}}), `column "c": unknown type "float"`},
		{"ErrNoType", column(&wire.Column{Name: "c"}), `column "c": unknown type ""`},
		{"ErrFewInts", column(&wire.Column{Name: "c", Type: "long", Integers: []int64{1}}), `column "c": 1 values of type long for 2 rows`},
		{"ErrManyInts", column(&wire.Column{Name: "c", Type: "bool", Integers: []int64{1, 2, 3}}), `column "c": 3 values of type bool for 2 rows`},
		{"ErrFewReals", column(&wire.Column{Name: "c", Type: "real", Integers: []int64{1, 2}}), `column "c": 0 values of type real for 2 rows`},
		{"ErrFewIndexes", column(&wire.Column{Name: "c", Type: "guid", Indexes: []uint32{0}, Dictionary: []string{"a"}}), `column "c": 1 values of type guid for 2 rows`},
		{"ErrIndex", column(&wire.Column{Name: "c", Type: "string", Indexes: []uint32{0, 1}, Dictionary: []string{"a"}}), `column "c": index 1 in a dictionary of 1`},
		{"ErrNoDictionary", column(&wire.Column{Name: "c", Type: "string", Indexes: []uint32{0, 0}}), `column "c": index 0 in a dictionary of 0`},
		{"ErrHalfNoDictionary", column(&wire.Column{Name: "c", Type: "string", Indexes: []uint32{0, 0}, Nulls: []byte{1}}), `column "c": index 0 in a dictionary of 0`},
		{"ErrIndexOfNull", column(&wire.Column{Name: "c", Type: "string", Indexes: []uint32{0, 1}, Nulls: []byte{1}, Dictionary: []string{"a"}}), `column "c": index 1 in a dictionary of 1`},
		{"ErrDictionary", column(&wire.Column{Name: "c", Type: "string", Indexes: []uint32{0, 1}, Dictionary: []string{"a", "b", "c"}}), `column "c": a dictionary of 3 for 2 rows`},
		{"ErrNulls", column(&wire.Column{Name: "c", Type: "long", Integers: []int64{1, 2}, Nulls: []byte{1, 2}}), `column "c": 2 bytes of nulls for 2 rows`},
		{"ErrShortNulls", &wire.RowBatch{Rows: 9, Columns: []*wire.Column{{Name: "c", Type: "long", Integers: make([]int64, 9), Nulls: []byte{1}}}}, `column "c": 1 bytes of nulls for 9 rows`},
		{"ErrDatetime", column(&wire.Column{Name: "c", Type: "datetime", Integers: []int64{0, maxDatetime + 1}}), `column "c": row 1: datetime of 2534023008000000000 ticks is out of range`},
		{"ErrEarlyDatetime", column(&wire.Column{Name: "c", Type: "datetime", Integers: []int64{minDatetime, -1}}), `column "c": row 1: datetime of -621355968000000001 ticks is out of range`},
		{"ErrDifference", column(&wire.Column{Name: "c", Type: "datetime", Integers: []int64{0, math.MinInt64}}), `column "c": row 1: a difference of -9223372036854775808 ticks is out of range`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, err := proto.Marshal(tt.batch)
			require.NoError(t, err)
			require.EqualError(t, new(rowBatch).decode(data), tt.want)
		})
	}
	short := protowire.AppendTag(nil, 2, protowire.BytesType)
	for _, body := range [][]byte{{0x22, 1, 0x80}, {0x2a, 3, 1, 2, 3}, {0x3a, 2, 0xff, 0xff}, {0x0a, 9}, {0x0b}} {
		err := new(rowBatch).decode(protowire.AppendBytes(short, body))
		require.EqualError(t, err, "column 0: the message is cut or garbled")
	}
	require.EqualError(t, new(rowBatch).decode([]byte{0x10}), "the message is cut or garbled")
}

// TestRowBatchPieces has what protobuf allows and nobody writes: repeated fields in
// pieces and one by one, fields in any order, unknown ones.
func TestRowBatchPieces(t *testing.T) {
	t.Parallel()
	var c []byte
	c = protowire.AppendTag(c, 7, protowire.VarintType)
	c = protowire.AppendVarint(c, 1)
	c = protowire.AppendTag(c, 99, protowire.StartGroupType)
	c = protowire.AppendTag(c, 99, protowire.EndGroupType)
	c = protowire.AppendTag(c, 7, protowire.BytesType)
	c = protowire.AppendBytes(c, []byte{0, 0x81, 0})
	c = protowire.AppendTag(c, 98, protowire.Fixed32Type)
	c = protowire.AppendFixed32(c, 1)
	c = appendString(c, 6, "a")
	c = appendString(c, 2, "string")
	c = appendString(c, 6, "b")
	c = appendString(c, 1, "c")
	data := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), c)
	data = protowire.AppendVarint(protowire.AppendTag(data, 1, protowire.VarintType), 3)
	var b rowBatch
	require.NoError(t, b.decode(data))
	require.Equal(t, 3, b.rows)
	require.Equal(t, []uint32{1, 0, 1}, b.columns[0].index)
	require.Equal(t, `"b"`, b.columns[0].text(0))
}

// TestMutatedRowBatches damages good row batches at random. Go's fuzzer rarely gets
// past the decoder; a few bytes changed in a good batch do.
func TestMutatedRowBatches(t *testing.T) {
	t.Parallel()
	tr := mustNew(t, Output{Compression: None})
	rng := rand.New(rand.NewPCG(5, 5))
	var good [100][]byte
	for i := range good {
		good[i] = smallBatch(t, uint64(i))
	}
	decoded := 0
	for range 30_000 {
		data := slices.Clone(good[rng.IntN(len(good))])
		for range 1 + rng.IntN(4) {
			switch i := rng.IntN(len(data)); rng.IntN(3) {
			case 0:
				data[i] = byte(rng.IntN(256))
			case 1:
				data[i] ^= 1 << rng.IntN(8)
			case 2:
				data = slices.Delete(data, i, i+1)
			}
		}
		if checkBatch(t, tr, data) {
			decoded++
		}
	}
	require.Greater(t, decoded, 3000)
}

// smallBatch returns one of many good row batches.
func smallBatch(tb testing.TB, seed uint64) []byte {
	_, answers := randomWindow(rand.New(rand.NewPCG(seed, 9)))
	answers[0].rows = append(answers[0].rows[:min(len(answers[0].rows), 19)], make([]any, len(answers[0].columns)))
	return answers[0].bytes(tb)
}

// FuzzRowBatch decodes anything, without a panic; what the protobuf library reads
// as well has the same content. What decodes can be transformed, and gives what the
// protobuf library writes.
func FuzzRowBatch(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(smallBatch(f, seed))
	}
	f.Add([]byte{})
	tr := mustNew(f, Output{Compression: None})
	f.Fuzz(func(t *testing.T, data []byte) { checkBatch(t, tr, data) })
}

// checkBatch reports whether data is a row batch; if so, all that is true of one
// must be true of it.
func checkBatch(t *testing.T, tr *Transformer, data []byte) bool {
	t.Helper()
	var b rowBatch
	if b.decode(data) != nil {
		return false
	}
	m := new(wire.RowBatch)
	if proto.Unmarshal(data, m) == nil {
		equal(t, &b, m)
	}
	for _, spec := range fuzzSpecs(&b) {
		w := Window{Spec: spec, Start: epoch, Batches: 2, Rows: 2 * uint64(b.rows), Batch: func(int) ([]byte, error) { return data, nil }}
		res, err := tr.Window(w, func(b Batch) error {
			request(t, b)
			return nil
		})
		if err != nil {
			kind, _ := pipe.KindOf(err)
			require.Equal(t, pipe.KindPermanent, kind)
			continue
		}
		values := uint64(max(1, len(spec.Transform.ValueColumns)))
		require.Equal(t, values*res.Rows, res.Points+res.Rejected.Total())
	}
	return true
}

// fuzzSpecs returns specs that fit the columns of a batch, if any do.
func fuzzSpecs(b *rowBatch) (specs []*schemas.MetricsExporterSpec) {
	var labels []string
	for i := range b.columns {
		if utf8.ValidString(b.columns[i].name) && len(labels) < 8 {
			labels = append(labels, b.columns[i].name)
		}
	}
	if len(labels) == 0 {
		return nil
	}
	for _, at := range labels {
		specs = append(specs, &schemas.MetricsExporterSpec{Transform: schemas.TransformConfig{
			DefaultMetricName: "m", TimestampColumn: at, ValueColumn: labels[len(labels)-1], LabelColumns: labels, NullValue: schemas.NullZero}},
			&schemas.MetricsExporterSpec{Transform: schemas.TransformConfig{
				MetricNameColumn: labels[0], TimestampColumn: at, ValueColumns: labels, LabelColumns: labels[:1]}})
	}
	return specs
}

// equal compares a decoded batch with what the protobuf library reads.
func equal(t *testing.T, b *rowBatch, m *wire.RowBatch) {
	t.Helper()
	require.Equal(t, int(m.Rows), b.rows)
	require.Len(t, b.columns, len(m.Columns))
	for i, want := range m.Columns {
		c := &b.columns[i]
		require.Equal(t, want.Name+":"+want.Type, c.name+":"+c.typ)
		var at int64
		for r := range b.rows {
			null := len(want.Nulls) > 0 && want.Nulls[r/8]&(1<<(r%8)) != 0
			require.Equal(t, null, c.null(r))
			if c.kind == kindDatetime && !null {
				at += want.Integers[r]
				require.Equal(t, at, c.ints[r])
			}
			if null {
				continue
			}
			switch c.kind {
			case kindBool, kindInt, kindLong, kindTimespan:
				require.Equal(t, want.Integers[r], c.ints[r])
			case kindReal:
				require.Equal(t, math.Float64bits(want.Reals[r]), math.Float64bits(c.reals[r]))
			case kindString, kindDecimal, kindGUID, kindDynamic:
				require.Equal(t, want.Dictionary[want.Indexes[r]], string(c.dict[c.index[r]]), fmt.Sprint(r))
			}
		}
	}
}
