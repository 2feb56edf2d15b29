package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits that Kusto applies when a request does not say otherwise.
const (
	DefaultServerTimeout = 4 * time.Minute
	MaxServerTimeout     = time.Hour
	DefaultMaxRecords    = 500_000
	DefaultMaxBytes      = 64 << 20
)

// Placement is where errors of a running query are reported.
type Placement uint8

// The values of results_error_reporting_placement.
const (
	InData       Placement = iota // among the rows
	EndOfTable                    // in TableCompletion
	EndOfDataset                  // in DataSetCompletion alone
)

var placements = map[string]Placement{
	"in_data": InData, "end_of_table": EndOfTable, "end_of_dataset": EndOfDataset,
}

// Options are the request options that change what the sandbox answers.
type Options struct {
	Fragmented  bool      // results_v2_fragment_primary_tables
	Progressive bool      // results_progressive_enabled
	Newlines    bool      // results_v2_newlines_between_frames
	Placement   Placement // results_error_reporting_placement

	Timeout    time.Duration // servertimeout, or norequesttimeout for the longest
	MaxRecords int64         // truncationmaxrecords; 0 after notruncation: no limit
	MaxBytes   int64         // truncationmaxsize, of the rows as JSON; 0 after notruncation

	GetSchema bool // query_results_apply_getschema: the columns of the tables in place of their rows

	ReadOnly bool      // request_readonly
	Now      time.Time // query_now; zero when not given

	Fault *Fault // sandbox_fault: what is to go wrong, when Config.Fault has nothing
}

// refusedOptions would change the answer in a way that the sandbox does not reproduce. Options that
// it does not know at all only steer how a cluster does its work, and are ignored as Kusto does.
var refusedOptions = []string{
	"query_bin_auto_at", "query_bin_auto_size", "query_cursor_after_default",
	"query_cursor_before_or_at_default", "query_cursor_current", "query_cursor_scoped_tables",
	"query_datetimescope_column", "query_datetimescope_from", "query_datetimescope_to",
	"query_take_max_records",
}

func parseOptions(raw map[string]json.RawMessage) (Options, error) {
	o := Options{Timeout: DefaultServerTimeout, MaxRecords: DefaultMaxRecords, MaxBytes: DefaultMaxBytes}
	var noTruncation, noTimeout bool
	for name, value := range raw {
		text := optionText(value)
		var err error
		switch name {
		case "results_v2_fragment_primary_tables":
			o.Fragmented, err = strconv.ParseBool(text)
		case "results_progressive_enabled":
			o.Progressive, err = strconv.ParseBool(text)
		case "results_v2_newlines_between_frames":
			o.Newlines, err = strconv.ParseBool(text)
		case "results_error_reporting_placement":
			p, ok := placements[text]
			if !ok {
				err = fmt.Errorf("must be in_data, end_of_table or end_of_dataset")
			}
			o.Placement = p
		case "servertimeout":
			o.Timeout, err = parseTimeSpan(text)
			if err == nil && o.Timeout <= 0 {
				err = fmt.Errorf("must be above 0")
			}
		case "norequesttimeout":
			noTimeout, err = strconv.ParseBool(text)
		case "notruncation":
			noTruncation, err = strconv.ParseBool(text)
		case "truncationmaxrecords":
			o.MaxRecords, err = parsePositive(text)
		case "truncationmaxsize":
			o.MaxBytes, err = parsePositive(text)
		case "query_results_apply_getschema":
			o.GetSchema, err = strconv.ParseBool(text)
		case "request_readonly":
			o.ReadOnly, err = strconv.ParseBool(text)
		case "query_now":
			o.Now, err = time.Parse(time.RFC3339Nano, text)
			o.Now = o.Now.UTC()
		case "sandbox_fault":
			o.Fault, err = parseFault(value)
		case "query_language":
			if !strings.EqualFold(text, "kql") && !strings.EqualFold(text, "csl") {
				return o, NotSupported(fmt.Sprintf("request option %q with value %q", name, text))
			}
		default:
			if slices.Contains(refusedOptions, name) {
				return o, NotSupported(fmt.Sprintf("request option %q", name))
			}
		}
		if err != nil {
			return o, BadRequest(fmt.Sprintf("request option %q is invalid, got %.40q: %v", name, text, err))
		}
	}
	if noTimeout || o.Timeout > MaxServerTimeout {
		o.Timeout = MaxServerTimeout
	}
	if noTruncation {
		o.MaxRecords, o.MaxBytes = 0, 0
	}
	return o, nil
}

// optionText is a JSON scalar as text: clients send 5 and "5", true and "true".
func optionText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(bytes.TrimSpace(raw))
}

func parsePositive(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil && n < 1 {
		err = fmt.Errorf("must be at least 1")
	}
	return n, err
}

// parseTimeSpan reads `[-][d.]hh:mm:ss[.fffffff]`, the form in which clients send a timeout.
func parseTimeSpan(s string) (time.Duration, error) {
	bad := fmt.Errorf("must be a timespan like 00:04:00")
	body, negative := strings.CutPrefix(s, "-")
	parts := strings.Split(body, ":")
	if len(parts) != 3 {
		return 0, bad
	}
	var days int64
	if d, h, ok := strings.Cut(parts[0], "."); ok {
		n, err := strconv.ParseUint(d, 10, 16)
		if err != nil {
			return 0, bad
		}
		days, parts[0] = int64(n), h
	}
	h, err1 := strconv.ParseUint(parts[0], 10, 8)
	m, err2 := strconv.ParseUint(parts[1], 10, 8)
	sec, frac, _ := strings.Cut(parts[2], ".")
	n, err3 := strconv.ParseUint(sec, 10, 8)
	if err1 != nil || err2 != nil || err3 != nil || h > 23 || m > 59 || n > 59 || len(frac) > 7 {
		return 0, bad
	}
	ticks, err := strconv.ParseUint((frac + "0000000")[:7], 10, 32)
	if err != nil {
		return 0, bad
	}
	d := time.Duration(days)*24*time.Hour + time.Duration(h)*time.Hour + time.Duration(m)*time.Minute +
		time.Duration(n)*time.Second + time.Duration(ticks)*100
	if negative {
		d = -d
	}
	return d, nil
}
