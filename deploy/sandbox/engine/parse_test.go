package engine

import (
	"context"
	"testing"
)

func TestParse(t *testing.T) {
	w := mustWorld(t, nil)
	const event = `Event: NotifySliceRelease (resourceName=PipelineScheduler, totalSlices=`
	const traces = `datatable(EventText:string)[
		"` + event + `27, sliceNumber=23, lockTime=02/17/2016 08:40:01, releaseTime=02/17/2016 08:40:01, previousLockTime=02/17/2016 08:39:01)",
		"` + event + `nonValidLongValue, sliceNumber=15, lockTime=02/17/2016 08:40:00, releaseTime=nonValidDateTime, previousLockTime=02/17/2016 08:39:00)"] `
	const pattern = `EventText with * "resourceName=" resourceName ", totalSlices=" totalSlices: long * "sliceNumber=" sliceNumber: long * "lockTime=" lockTime ", releaseTime=" releaseTime: date "," * "previousLockTime=" previousLockTime: date ")" * | project-away EventText`
	const first = "PipelineScheduler|27|23|02/17/2016 08:40:01|2016-02-17T08:40:01.0000000Z|2016-02-17T08:39:01.0000000Z"
	w.expect([][2]string{
		// Kusto docs: parse and parse-where operator.
		{traces + `| parse ` + pattern, first + "\n|null|null||null|null"},
		{traces + `| parse-where ` + pattern, first},
		{traces + `| parse kind=relaxed ` + pattern, first + "\nPipelineScheduler|null|15|02/17/2016 08:40:00|null|2016-02-17T08:39:00.0000000Z"},
		{`datatable(Contacts: string)["Event: LeadContact (email=john@contosohotel.com, Website=https:contosohotel.com)"]
			| parse Contacts with * "email=" alias:string "@" domain: string ", Website=https:" WebsiteDomain: string ")" | project EmailAddress=strcat(alias, "@", domain), alias, WebsiteDomain`,
			"john@contosohotel.com|john|contosohotel.com"},
		{traces + `| take 1 | parse kind=regex EventText with "(.*?)[a-zA-Z]*=" resourceName @", totalSlices=\s*\d+\s*.*?sliceNumber=" sliceNumber: long  ".*?(previous)?lockTime=" lockTime ".*?releaseTime=" releaseTime ".*?previousLockTime=" previousLockTime: date "\\)"
			| project resourceName, sliceNumber, lockTime, releaseTime, previousLockTime`,
			"PipelineScheduler|23|02/17/2016 08:40:01, |02/17/2016 08:40:01, |2016-02-17T08:39:01.0000000Z"},
		{traces + `| take 1 | parse kind=regex EventText with * "resourceName=" resourceName ',' * | project resourceName`,
			"PipelineScheduler, totalSlices=27, sliceNumber=23, lockTime=02/17/2016 08:40:01, releaseTime=02/17/2016 08:40:01"},
		{traces + `| take 1 | parse kind=regex flags=Ui EventText with * "RESOURCENAME=" resourceName ',' * | project resourceName`, "PipelineScheduler"},
		{traces + `| parse-where kind = regex flags=i EventText with * "RESOURCENAME=" resourceName "," * "totalSlices=" totalSlices: long "," * | project totalSlices`, "27"},
		{traces + `| parse-where kind = regex EventText with * "RESOURCENAME=" resourceName "," * "totalSlices=" totalSlices: long "," * | project totalSlices`, ""},
		{`print s = "resourceName=Pipeline\ntotalSlices=27\nlockTime=02/17/2016 08:40:01)" | parse kind=regex flags=s s with * "resourceName=" r: string "(.*?)totalSlices=" n: long "(.*?)lockTime=" t: datetime "\\)" | project r, n, t`,
			"Pipeline\n|27|2016-02-17T08:40:01.0000000Z"},
		// Strict and relaxed, empty and missing.
		{`datatable(s:string)["a=1, b=x y, c=2.5!", "a=z, b=x, c=1!", "", "a=1, b="] | parse s with "a=" a:long ", b=" b ", c=" c:real "!" | project a, b, c`, "1|x y|2.5\nnull||null\nnull||null\nnull||null"},
		{`datatable(s:string)["a=1, b=x y, c=2.5!", "a=z, b=x, c=1!", "", "a=1, b="] | parse kind=relaxed s with "a=" a:long ", b=" b ", c=" c:real "!" | project a, b, c`, "1|x y|2.5\nnull|x|1.0\nnull||null\nnull||null"},
		{`datatable(s:string)["a=1, b=x y, c=2.5!", "a=z, b=x, c=1!", "", "a=1, b=, c=-3!"] | parse-where s with "a=" a:long ", b=" b ", c=" c:real "!" | project a, b, c`, "1|x y|2.5\n1||-3.0"},
		{`datatable(s:string)["k: v: w", "k", ": ", ""] | parse s with a ": " b | project a, b`, "k|v: w\n|\n|\n|"},
		{`datatable(s:string)["took 12ms for 7 rows", "took ms for 7 rows"] | parse s with * "took " a:long * "for " b:int * | project a, b`, "12|7\nnull|null"},
		{`datatable(s:string)["took -12ms for 7 rows", "took ms for 7 rows"] | parse kind=relaxed s with * "took " a:long * "for " b:int * | project a, b`, "-12|7\nnull|7"},
		{`print s = "g=74be27de-1e4e-49d9-b579-fe0b05d3642c t=01:30:00 b=true d=1.50" | parse s with "g=" g:guid " t=" t:timespan " b=" b:bool " d=" d:decimal | project g, t, b, d`, "74be27de-1e4e-49d9-b579-fe0b05d3642c|01:30:00|true|1.50"},
		{`print x = 1234 | parse x with "1" y:long | project y`, "234"},
		{`print s = "a=1" | parse s with "a=" a:long | extend b = a + 1 | project b`, "2"},
	})
	for query, want := range map[string]string{
		`print s = "xa=1" | parse s with "a=" a`:                          `parse of "xa=1" that does not begin as the pattern does (write * first) is a case that the sandbox does not know Kusto's answer to`,
		`print s = "a=1;" | parse s with "a=" a:long`:                     `parse of "a=1;" that goes on after the pattern (write * last) is a case that the sandbox does not know Kusto's answer to`,
		`print s = "a=1;b" | parse s with "a=" a ";"`:                     `parse of "a=1;b" that goes on after the pattern (write * last) is a case that the sandbox does not know Kusto's answer to`,
		`print s = "a= 1 ;" | parse s with "a=" a:long ";"`:               `parse of " 1 " as a long is a case that the sandbox does not know Kusto's answer to`,
		`print s = "a=0x1F;" | parse s with "a=" a:long ";"`:              `parse of "0x1F" as a long is a case that the sandbox does not know Kusto's answer to`,
		`print s = "k1-v1-k2-v2" | parse kind=regex s with * "k" a "-" *`: `parse of "k1-v1-k2-v2" with a * that can stand for more or less is a case that the sandbox does not know Kusto's answer to`,
		`print s = "x" | parse kind=regex s with "(" a`:                   `1:17: operator "parse" with the regular expression "(" is not supported by the sandbox`,
		`print s = "x" | parse kind=regex flags=x s with "x" a`:           `1:40: flag 'x' of operator "parse" is not supported by the sandbox`,
		`print s = "x" | parse kind=regex s with "x" a:real`:              `1:17: operator "parse" with kind=regex to a real is not supported by the sandbox`,
		`print s = "x" | parse s with "x" a:real * "y"`:                   `1:17: operator "parse" of the real column "a" without a text after it is not supported by the sandbox`,
		`print s = "x", b = 1 | parse s with "x" b`:                       `1:24: a table of two columns "b" is not supported by the sandbox`,
	} {
		if _, err := Run(context.Background(), w.analyze(query), w.tables, Options{Now: now}); err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", query, err, want)
		}
	}
}
