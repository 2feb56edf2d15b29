package samples

import (
	"math"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// mix turns a number into random-looking bits; the same number always into the same. It is the
// finalizer of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// unit is a number in [0, 1).
func unit(x uint64) float64 { return float64(x>>11) / (1 << 53) }

// normal is a number around 0 with a standard deviation of 1, between -4.9 and 4.9: the sum of eight
// uniform bytes.
func normal(x uint64) float64 {
	sum := 0
	for range 8 {
		sum += int(x & 0xff)
		x >>= 8
	}
	return (float64(sum) - 8*127.5) / (math.Sqrt(8) * 73.9)
}

// tail is 1 for most, and up to about 12 for one in a thousand: what a latency is multiplied with.
func tail(x uint64) float64 {
	u := unit(x)
	return math.Min(12, 0.75+0.25/math.Pow(1-u, 0.55))
}

// loadAt is how busy a service is at a time of day in UTC: 0.3 at 3:00, 1 at 15:00.
func loadAt(ticks int64) float64 {
	const day = 86400 * table.TicksPerSecond
	hour := float64(ticks-floorDiv(ticks, day)*day) / (3600 * table.TicksPerSecond)
	return 0.65 + 0.35*math.Sin((hour-9)/24*2*math.Pi)
}

// round keeps three decimals, as measurements do.
func round(x float64) float64 { return math.Round(x*1000) / 1000 }
