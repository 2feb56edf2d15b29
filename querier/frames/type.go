package frames

// kind is a Kusto scalar type.
type kind uint8

const (
	kindUnknown kind = iota
	kindBool
	kindInt
	kindLong
	kindReal
	kindDecimal
	kindString
	kindDateTime
	kindTimeSpan
	kindGUID
	kindDynamic
)

// kinds knows each type by its name, and by the synonyms that Kusto still answers
// with in places.
var kinds = map[string]kind{
	"bool": kindBool, "boolean": kindBool,
	"int": kindInt, "int32": kindInt,
	"long": kindLong, "int64": kindLong,
	"real": kindReal, "double": kindReal,
	"decimal":  kindDecimal,
	"string":   kindString,
	"datetime": kindDateTime, "date": kindDateTime,
	"timespan": kindTimeSpan, "time": kindTimeSpan,
	"guid": kindGUID, "uuid": kindGUID, "uniqueid": kindGUID,
	"dynamic": kindDynamic,
}

var kindNames = [...]string{
	kindBool: "bool", kindInt: "int", kindLong: "long", kindReal: "real", kindDecimal: "decimal",
	kindString: "string", kindDateTime: "datetime", kindTimeSpan: "timespan", kindGUID: "guid",
	kindDynamic: "dynamic",
}

// typeName returns the one name of a type; a type that is not known stays as it is.
func typeName(s string) string {
	if k := kinds[s]; k != kindUnknown {
		return kindNames[k]
	}
	return s
}
