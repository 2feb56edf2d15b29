// Package table holds Kusto rows by column: what the sandbox's sources produce, its evaluator
// works on and its server serialises.
//
// A [Table] is a name and [Column]s of equal length; a column is a name and a [Vector]; a vector is
// a Kusto scalar [Type], one Go slice and a null [Bitmap]. The slice a type uses is fixed, so a
// kernel is a loop over []int64, []float64 or []string:
//
//	bool                Ints     0 or 1
//	int, long           Ints     int within 32 bits
//	datetime            Ints     ticks of 100 ns since 1970-01-01T00:00:00Z, [MinDateTime] to [MaxDateTime]
//	timespan            Ints     ticks of 100 ns
//	real                Reals    NaN and the infinities are values, not nulls
//	string              Strings  never null: Kusto's null string is the empty one
//	guid                Strings  lower case, with hyphens
//	decimal             Strings  plain decimal digits, such as -12.50
//	dynamic             Strings  JSON text
//
// Limits: a selection is []int32, so a table has at most 2³¹−1 rows. Vectors grow by append; slices
// of a table share its memory, selections of it copy. Nothing here locks: a table that several
// goroutines read must not be appended to.
//
// Failures are the caller's mistakes. [Table.Validate] and [Vector.Append], for data from outside,
// return them as errors; the typed methods, for code that knows its types, panic as an index out of
// range does.
package table
