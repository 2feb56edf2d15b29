package schemas_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func TestMetricName(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ prefix, name, column, want string }{
		{"", "response_time", "MaxMs", "response_time_max_ms"},
		{"teama", "customer_success_rate", "Numerator", "teama_customer_success_rate_numerator"},
		{"", "m", "SuccessfulRequests", "m_successful_requests"},
		{"", "m", "HTTPCount", "m_http_count"},
		{"", "m", "CountHTTP", "m_count_http"},
		{"", "m", "p95Ms", "m_p95_ms"},
		{"", "m", "P95", "m_p95"},
		{"", "m", "95th", "m_95th"},
		{"", "m", "CPUUtilization", "m_cpu_utilization"},
		{"", "m", "already_snake", "m_already_snake"},
		{"", "m", "ALL_CAPS", "m_all_caps"},
		{"", "m", "ABCDef", "m_abc_def"},
		{"", "m", "aB", "m_a_b"},
		{"", "m", "X", "m_x"},
		{"", "m", "Max (ms)", "m_max_ms"},
		{"", "m", "__Max__Ms__", "m_max_ms"},
		{"", "m", "größeMs", "m_gr_e_ms"},
		{"", "Http.Server-Duration", "Count", "http_server_duration_count"},
		{"Team-A.", "m", "v", "team_a_m_v"},
		{"--", "m", "v", "m_v"},
		{"p", "", "v", ""},
		{"", "m", "___", ""},
		{"", "大", "v", ""},
	} {
		require.Equal(t, tt.want, schemas.MetricName(tt.prefix, tt.name, tt.column), "%q %q %q", tt.prefix, tt.name, tt.column)
	}
}

func TestSnakeCase(t *testing.T) {
	for column, want := range map[string]string{
		"MaxMs": "max_ms", "SuccessfulRequests": "successful_requests", "Total-Count": "total_count", "max_ms": "max_ms",
		"HTTPErrors": "http_errors", "P95": "p95", "p95Ms": "p95_ms", "A": "a", "__a__b__": "a_b", "value": "value", "Größe": "gr_e", "": "",
	} {
		require.Equal(t, want, schemas.SnakeCase(column), column)
	}
}
