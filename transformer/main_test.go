package transformer

import (
	"testing"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
)

func TestMain(m *testing.M) { pipetest.VerifyTestMain(m) }
