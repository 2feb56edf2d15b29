package frames

import (
	"encoding/json"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// completionInformation is the kind of the table in which Kusto says, after the
// rows, how the query went.
const completionInformation = "QueryCompletionInformation"

// Usage is what Kusto says a query took. What it does not say is 0.
type Usage struct {
	// Execution is how long the query ran, and CPU what it took of all nodes' time.
	Execution, CPU time.Duration
	// PeakMemory is the bytes of the node that took the most.
	PeakMemory int64
	// ScannedRows and TotalRows are how many rows were read, of those in the tables.
	ScannedRows, TotalRows int64
}

// readUsage reads the rows of the completion information. Nothing about it fails an
// answer: it is about the query and no part of its result.
func (f *frame) readUsage() error {
	raw, err := f.d.value()
	if err != nil {
		return err
	}
	name, payload := -1, -1
	for i, c := range f.columns {
		switch c.Name {
		case "EventTypeName":
			name = i
		case "Payload":
			payload = i
		}
	}
	var rows [][]json.RawMessage
	if name < 0 || payload < 0 || json.Unmarshal(raw, &rows) != nil {
		return nil
	}
	for _, row := range rows {
		var event string
		if max(name, payload) >= len(row) || json.Unmarshal(row[name], &event) != nil || event != "QueryResourceConsumption" {
			continue
		}
		f.d.usage = parseUsage(row[payload])
	}
	return nil
}

// parseUsage reads the payload of a QueryResourceConsumption, JSON or a string with
// JSON in it; nil when it is none.
func parseUsage(payload []byte) *Usage {
	if jsontext.Value(payload).Kind() == '"' {
		text, err := jsontext.AppendUnquote(nil, payload)
		if err != nil {
			return nil
		}
		payload = text
	}
	var p struct {
		ExecutionTime float64 // seconds
		ResourceUsage struct {
			CPU struct {
				Total string `json:"total cpu"` // a timespan
			} `json:"cpu"`
			Memory struct {
				Peak int64 `json:"peak_per_node"`
			} `json:"memory"`
		} `json:"resource_usage"`
		Input struct {
			Rows struct {
				Total   int64 `json:"total"`
				Scanned int64 `json:"scanned"`
			} `json:"rows"`
		} `json:"input_dataset_statistics"`
	}
	if json.Unmarshal(payload, &p) != nil {
		return nil
	}
	u := &Usage{
		Execution:   time.Duration(p.ExecutionTime * float64(time.Second)),
		PeakMemory:  p.ResourceUsage.Memory.Peak,
		ScannedRows: p.Input.Rows.Scanned, TotalRows: p.Input.Rows.Total,
	}
	if ticks, ok := parseTimeSpan([]byte(p.ResourceUsage.CPU.Total)); ok {
		u.CPU = time.Duration(ticks) * 100
	}
	return u
}
